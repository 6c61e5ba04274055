/**
 * The runtime of Node.js functions: takes invocations from Lambda's Runtime API, and runs the handler.
 *
 * AWS's own runtime client (https://github.com/aws/aws-lambda-nodejs-runtime-interface-client) has a native part that has
 * to be compiled, with tools that few machines have. This does the same with what Node.js brings along: how handlers are
 * found, called and waited for, the errors and the log lines are those of that client and of
 * https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html.
 */

import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { PassThrough } from "node:stream";
import { pathToFileURL } from "node:url";
import util from "node:util";

const environment = process.env;
const [HOST, PORT] = environment.AWS_LAMBDA_RUNTIME_API.split(":");
const TASK_ROOT = environment.LAMBDA_TASK_ROOT;
const AS_JSON = environment.AWS_LAMBDA_LOG_FORMAT === "JSON";
const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const WITHOUT_CALLBACKS = 24; // Node.js 24 and later: handlers may not take a callback
const EXIT_REJECTION = 128;
const EXIT_EXCEPTION = 129;

let requestId; // of the invocation that is running
let whenIdle = null; // what is to be done when nothing is left in the event loop

class RuntimeError extends Error {
  constructor(name, message) {
    super(message);
    this.name = `Runtime.${name}`;
  }
}

// The log: one frame for each message, on standard output, so that several lines stay one event.

function write(level, message) {
  const text = Buffer.from(AS_JSON ? message : `${message}\n`);
  const frame = Buffer.alloc(16 + text.length);
  frame.writeUInt32BE((0xa55a0002 | (AS_JSON ? 0 : 1) | ((LEVELS.indexOf(level) + 1) << 2)) >>> 0, 0);
  frame.writeUInt32BE(text.length, 4);
  frame.writeBigInt64BE(BigInt(Date.now()) * 1000n, 8);
  text.copy(frame, 16);
  for (let sent = 0; sent < frame.length;) {
    try {
      sent += fs.writeSync(1, frame, sent);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

function described(_key, value) {
  if (!(value instanceof Error)) return value;
  const stackTrace = typeof value.stack === "string" ? value.stack.split("\n") : value.stack;
  return { errorType: value.constructor?.name ?? "UnknownError", errorMessage: value.message, stackTrace, ...value };
}

function record(level, parameters) {
  const found = { timestamp: new Date().toISOString(), level, requestId };
  if (parameters.length === 1) {
    try {
      return JSON.stringify({ ...found, message: parameters[0] }, described);
    } catch {
      return JSON.stringify({ ...found, message: util.format(parameters[0]) });
    }
  }
  const error = parameters.find((each) => each instanceof Error);
  return JSON.stringify({ ...found, message: util.format(...parameters), ...(error ? described("", error) : {}) });
}

function log(level, ...parameters) {
  const text = () => `${new Date().toISOString()}\t${requestId}\t${level}\t${util.format(...parameters)}`;
  write(level, AS_JSON ? record(level, parameters) : text());
}

function patchConsole() {
  const least = Math.max(0, LEVELS.indexOf((environment.AWS_LAMBDA_LOG_LEVEL ?? "TRACE").toUpperCase()));
  const methods = { trace: "TRACE", debug: "DEBUG", info: "INFO", log: "INFO", warn: "WARN", error: "ERROR", fatal: "FATAL" };
  for (const [method, level] of Object.entries(methods)) {
    console[method] = LEVELS.indexOf(level) < least ? () => {} : (...parameters) => log(level, ...parameters);
  }
}

function logError(what, error) {
  const found = error instanceof Error ? error : new Error(error);
  if (AS_JSON) return console.error(found);
  const lines = typeof found.stack === "string" ? found.stack.split("\n") : undefined;
  const fields = { errorType: found.name, errorMessage: found.message, code: found.code, ...found, stack: lines };
  return console.error(what, `\t${JSON.stringify(fields)}`);
}

// The Runtime API.

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function ask(method, target, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const options = { agent, host: HOST, port: PORT, method, path: `/2018-06-01/runtime/${target}`, headers };
    const request = http.request(options, (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => resolve({ headers: answer.headers, body: Buffer.concat(pieces) }));
      answer.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

function answered(error) {
  if (util.types.isNativeError(error) || (error?.name && error?.message && error?.stack)) {
    return { errorType: error.name, errorMessage: error.message, trace: error.stack.split("\n") };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

function tellError(target, error) {
  const found = answered(error);
  const headers = { "Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": found.errorType };
  if (!/^[\w.]+$/.test(found.errorType)) delete headers["Lambda-Runtime-Function-Error-Type"];
  return ask("POST", target, JSON.stringify(found), headers);
}

// The handler.

function isOfModules(folder) {
  if (folder.endsWith("/node_modules")) return false;
  const file = path.join(folder, "package.json");
  if (fs.existsSync(file)) {
    try {
      return JSON.parse(fs.readFileSync(file, "utf8")).type === "module";
    } catch (error) {
      console.warn(`${file} cannot be read, it will be ignored for ES module detection purposes.`, error);
      return false;
    }
  }
  return folder !== "/" && isOfModules(path.dirname(folder));
}

async function importModule(root, name) {
  const require = createRequire(import.meta.url);
  const file = path.resolve(TASK_ROOT, root, name);
  const modules = isOfModules(path.dirname(file));
  for (const [extension, imported] of [["", false], [".js", modules], [".mjs", true], [".cjs", false]]) {
    if (!fs.existsSync(file + extension) || (extension === "" && fs.statSync(file).isDirectory())) continue;
    return imported ? await import(pathToFileURL(file + extension).href) : require(file + extension);
  }
  return require(require.resolve(name, { paths: [TASK_ROOT, path.resolve(TASK_ROOT, root)] }));
}

async function load(handler) {
  if (handler.includes("..")) {
    const hint = "Use absolute paths when specifying root directories in handler names.";
    throw new RuntimeError("MalformedHandlerName", `'${handler}' is not a valid handler name. ${hint}`);
  }
  const last = path.basename(handler);
  const parts = /^([^.]*)\.(.*)$/.exec(last);
  if (!parts) throw new RuntimeError("MalformedHandlerName", "Bad handler");
  let found;
  try {
    found = await importModule(handler.slice(0, handler.length - last.length), parts[1]);
  } catch (error) {
    if (error instanceof SyntaxError) throw new RuntimeError("UserCodeSyntaxError", String(error));
    if (error?.code === "MODULE_NOT_FOUND") throw new RuntimeError("ImportModuleError", String(error));
    throw error;
  }
  for (const key of parts[2].split(".")) found = found?.[key];
  if (!found) throw new RuntimeError("HandlerNotFound", `${handler} is undefined or not exported`);
  if (typeof found !== "function") throw new RuntimeError("HandlerNotFound", `${handler} is not a function`);
  const version = Number(/nodejs(\d+)/.exec(environment.AWS_EXECUTION_ENV ?? "")?.[1]);
  if (version >= WITHOUT_CALLBACKS && found.length >= 3 && !found[STREAMING]) {
    const text = `nodejs${version}.x takes no handlers with a callback: return a promise, or use an async function`;
    throw new RuntimeError("CallbackHandlerDeprecated", text);
  }
  return found;
}

globalThis.awslambda = {
  streamifyResponse: (handler) => Object.assign(handler, { [STREAMING]: "response" }),
  HttpResponseStream: {
    from(stream, metadata) {
      stream.setContentType("application/vnd.awslambda.http-integration-response");
      stream.write(JSON.stringify(metadata));
      stream.write(Buffer.alloc(8));
      return stream;
    },
  },
};

// Invocations, one after the other.

function contextOf(headers) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const parsed = (name) => (headers[name] ? JSON.parse(headers[name]) : undefined);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: environment.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: environment.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: environment.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: environment.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parsed("lambda-runtime-client-context"),
    identity: parsed("lambda-runtime-cognito-identity"),
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: requestId,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

function stringified(result) {
  try {
    return JSON.stringify(result === undefined ? null : result);
  } catch {
    throw new Error("Unable to stringify response body");
  }
}

function whenNothingIsLeft(action) {
  whenIdle = action;
}

/** Call a handler, and wait until it has settled by one of the ways that it may choose. */
function called(handler, event, context) {
  return new Promise((resolve, reject) => {
    const settle = (error, result) => {
      whenNothingIsLeft(null);
      if (error === undefined || error === null) resolve(result);
      else reject(error);
    };
    const callback = (error, result) => {
      const wait = context.callbackWaitsForEmptyEventLoop && (error === undefined || error === null);
      if (wait) whenNothingIsLeft(() => settle(null, result));
      else settle(error, result);
    };
    context.done = settle;
    context.succeed = (result) => settle(null, result);
    context.fail = (error) => settle(error ?? "handled");
    whenNothingIsLeft(() =>
      handler.constructor.name === "AsyncFunction"
        ? settle(new RuntimeError("NodeJsExit", "The Lambda runtime client detected an unexpected Node.js exit code."))
        : settle(null, null)
    );
    const result = handler(event, context, callback);
    if (typeof result?.then === "function") result.then((value) => settle(null, value), (error) => settle(error ?? "handled"));
  });
}

/** Call a handler that streams; its answer is sent when it is whole. */
async function streamed(handler, event, context) {
  const stream = new PassThrough({ highWaterMark: 8 << 20 });
  const pieces = [];
  let contentType = "application/octet-stream";
  stream.setContentType = (type) => {
    contentType = type;
  };
  stream.on("data", (piece) => pieces.push(piece));
  const ended = new Promise((resolve, reject) => stream.on("end", resolve).on("error", reject));
  const result = handler(event, stream, context);
  if (typeof result?.then !== "function") throw new Error("Streaming does not support non-async handlers.");
  await result;
  if (!stream.writableEnded) throw new Error("Response stream is not finished.");
  await ended;
  return [Buffer.concat(pieces), contentType];
}

async function outcome(handler, event, headers) {
  const context = contextOf(headers);
  if (handler[STREAMING]) return await streamed(handler, JSON.parse(event), context);
  return [stringified(await called(handler, JSON.parse(event), context)), "application/json"];
}

async function serve(handler) {
  for (;;) {
    const { headers, body } = await ask("GET", "invocation/next");
    requestId = headers["lambda-runtime-aws-request-id"];
    environment._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
    const target = `invocation/${requestId}`;
    fatal = (error, code) => tellError(`${target}/error`, error).finally(() => process.exit(code));
    let answer;
    let type;
    try {
      [answer, type] = await outcome(handler, body.toString(), headers);
    } catch (error) {
      logError("Invoke Error", error);
      await tellError(`${target}/error`, error);
      continue;
    }
    await ask("POST", `${target}/response`, answer, { "Content-Type": type });
  }
}

let fatal = (error, code) => tellError("init/error", error).finally(() => process.exit(code));

patchConsole();
process.on("uncaughtException", (error) => {
  logError("Uncaught Exception", error);
  fatal(error, EXIT_EXCEPTION);
});
process.on("unhandledRejection", (reason) => {
  const error = new RuntimeError("UnhandledPromiseRejection", String(reason));
  logError("Unhandled Promise Rejection", Object.assign(error, { reason }));
  fatal(error, EXIT_REJECTION);
});
process.on("beforeExit", () => {
  const action = whenIdle;
  whenIdle = null;
  if (action) action();
});

load(environment._HANDLER).then(serve, (error) => {
  logError("Uncaught Exception", error);
  fatal(error, EXIT_EXCEPTION);
});
