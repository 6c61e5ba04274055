// The answers of the HTTP API as the page's JavaScript reads them. Made from GET /openapi.json by
// `python -m tests.unit.web.declarations`; a test compares the two.

export interface Algorithm {
  name: string;
  type: "in" | "out" | null;
  liveReleaseId: string | null;
  liveVersion: string | null;
  liveBefore: (ServedVersion)[];
  memoryMb: number | null;
  costUsdPerMillion: number | null;
  latestReleaseId: string | null;
  latestStatus: "UPLOADING" | "REGISTERED" | "PROVISIONING" | "PROVISIONED" | "TESTING" | "LIVE" | "RETIRED" | "ROLLED_BACK" | "REJECTED" | "FAILED" | "SUPERSEDED" | null;
  updatedAt: string | null;
  next: (string)[];
  trend: (TrendPoint)[];
}

export interface AlgorithmList {
  algorithms: (Algorithm)[];
}

export interface AlgorithmQueues {
  input: Queue | null;
  deadLetters: Queue | null;
}

export interface CaseResult {
  case: string;
  passed: number;
  failed: number;
  failedMemoryMb: (number)[];
  error: "timeout" | "out_of_memory" | "wrong_answer" | "exception" | "throttled" | "platform" | null;
  errorMessage: string | null;
  difference: string | null;
  memoryMb: number | null;
  log: string | null;
}

export interface Change {
  ratio: number;
  low: number;
  high: number;
}

export interface Chart {
  tried: (ChartPoint)[];
  model: (ChartPoint)[];
  excludedMemoryMb: (number)[];
  chosenMemoryMb: number | null;
  caption: string;
}

export interface ChartPoint {
  memoryMb: number;
  durationMs: number;
  lowMs: number;
  highMs: number;
  costUsdPerMillion: number;
  lowUsdPerMillion: number;
  highUsdPerMillion: number;
}

export interface Comparison {
  sentence: string;
  duration: Change | null;
  cost: Change | null;
  cases: (string)[];
  regression: string | null;
}

export interface Deleted {
  deleted: number;
  left: number;
}

export interface Difference {
  algorithm: string;
  message: string;
  since: string | null;
}

export interface ErrorAnswer {
  error: Problem;
}

export interface Failure {
  failureId: string;
  messageId: string | null;
  releaseId: string | null;
  reason: string | null;
  since: string | null;
  contentType: string | null;
  sizeBytes: number | null;
  document: string | null;
  cut: boolean;
  url: string | null;
  to: (string)[] | null;
}

export interface FailureList {
  failures: (Failure)[];
  total: number;
}

export type JsonValue = unknown;

export interface LiveComparison {
  sentence: string;
  duration: Change | null;
  cost: Change | null;
  cases: (string)[];
  regression: string | null;
  liveReleaseId: string;
  liveMemoryMb: number | null;
  maxRegression: number | null;
  invocations: (number)[];
}

export interface LogEvent {
  at: string | null;
  stream: string;
  message: string;
  memoryMb: number | null;
}

export interface LogEvents {
  events: (LogEvent)[];
}

export interface Measurement {
  memoryMb: number;
  case: string;
  index: number;
  durationMs: number;
  billedDurationMs: number;
  initDurationMs: number | null;
  maxMemoryUsedMb: number | null;
  coldStart: boolean;
  error: "timeout" | "out_of_memory" | "wrong_answer" | "exception" | "throttled" | "platform" | null;
  at: string | null;
  requestId: string | null;
  version: string | null;
  errorMessage: string | null;
  difference: string | null;
  log: string | null;
  differs: string | null;
  disturbedMs: number | null;
}

export interface MeasurementList {
  measurements: (Measurement)[];
}

export interface Message {
  messageId: string;
  status: "pending" | "done" | "failed";
  ended: boolean;
  results: (MessageResult)[];
}

export interface MessageCreated {
  messageId: string;
  upload: UploadForm;
  maxSizeBytes: number | null;
}

export interface MessageResult {
  algorithm: string;
  status: "pending" | "done" | "failed";
  reason: string | null;
  contentType: string | null;
  sizeBytes: number | null;
  url: string | null;
  releaseId: string | null;
  version: string | null;
}

export interface Percentile {
  ms: number;
  lowMs: number;
  highMs: number;
}

export interface Platform {
  version: string | null;
  region: string | null;
  accountId: string | null;
  prefix: string | null;
}

export interface PlatformStatus {
  platform: Platform;
  algorithms: number;
  releasesInFlight: (ReleaseInFlight)[];
  queues: (Queue)[];
  deadLetters: number;
  differences: (Difference)[];
  comparedAt: string | null;
}

export interface PowerTuningOutput {
  power: number;
  cost: number;
  duration: number;
  stateMachine: PowerTuningStateMachine;
  stats: (PowerTuningStats)[] | null;
}

export interface PowerTuningStateMachine {
  executionCost: number;
  lambdaCost: number;
  visualization: string;
}

export interface PowerTuningStats {
  value: number;
  averagePrice: number;
  averageDuration: number;
}

export interface PowerValueResult {
  memoryMb: number;
  version: string | null;
  status: "ok" | "excluded" | "failed";
  reason: string | null;
  differs: string | null;
  unclean: boolean;
  n: number;
  setAside: Record<string, number>;
  warm: boolean;
  meanMs: number | null;
  trimmedMeanMs: number | null;
  trimmedMeanLowMs: number | null;
  trimmedMeanHighMs: number | null;
  relativeError: number | null;
  p50Ms: number | null;
  p90Ms: number | null;
  p95Ms: number | null;
  p99Ms: number | null;
  percentiles: Record<string, Percentile>;
  minMs: number | null;
  maxMs: number | null;
  initMs: number | null;
  coldDurationMs: number | null;
  coldStartMs: number | null;
  coldStartWorstMs: number | null;
  initTimeouts: number;
  maxMemoryUsedMb: number | null;
  headroomMb: number | null;
  costUsdPerMillion: number | null;
  coldStarts: number;
  disturbed: number;
  errors: number;
  errorKinds: Record<string, number>;
}

export interface Prices {
  region: string;
  architecture: string;
  gbSecondUsd: number | null;
  requestUsd: number | null;
  asOf: string;
  source: string;
  note: string;
}

export interface Problem {
  code: string;
  message: string;
  where: string;
  hint: string;
}

export interface Progress {
  memoryMb: number;
  done: number;
  total: number;
  failed: number;
  durationsMs: (number)[];
}

export interface Queue {
  name: string;
  kind: "input" | "deadLetters" | "failedUploads";
  algorithm: string | null;
  visible: number;
  inFlight: number;
  countedAt: string | null;
}

export interface Redriven {
  redriven: number;
  left: number;
}

export interface Release {
  releaseId: string;
  algorithm: string | null;
  type: "in" | "out" | null;
  status: "UPLOADING" | "REGISTERED" | "PROVISIONING" | "PROVISIONED" | "TESTING" | "LIVE" | "RETIRED" | "ROLLED_BACK" | "REJECTED" | "FAILED" | "SUPERSEDED";
  ended: boolean;
  reason: string | null;
  fileName: string;
  author: string | null;
  changedBy: string | null;
  createdAt: string | null;
  updatedAt: string | null;
  packageSha256: string | null;
  packageSizeBytes: number | null;
  version: string | null;
  memoryMb: number | null;
  costUsdPerMillion: number | null;
  history: (StatusChange)[];
  problem: Problem | null;
  metadata: Record<string, JsonValue> | null;
  powerValues: (number)[];
  uploadSha256: string | null;
  cases: (string)[];
  notCompared: (string)[];
  versions: Record<string, string>;
  progress: (Progress)[];
  costAtMostUsd: number | null;
  summary: Summary | null;
}

export interface ReleaseComparison {
  releases: (ReleaseRow)[];
  comparison: Comparison | null;
}

export interface ReleaseCreated {
  releaseId: string;
  upload: UploadForm;
  maxSizeBytes: number | null;
}

export interface ReleaseInFlight {
  releaseId: string;
  algorithm: string | null;
  status: "UPLOADING" | "REGISTERED" | "PROVISIONING" | "PROVISIONED" | "TESTING" | "LIVE" | "RETIRED" | "ROLLED_BACK" | "REJECTED" | "FAILED" | "SUPERSEDED";
}

export interface ReleasePage {
  releases: (ReleaseRow)[];
  cursor: string | null;
}

export interface ReleaseRow {
  releaseId: string;
  algorithm: string | null;
  type: "in" | "out" | null;
  status: "UPLOADING" | "REGISTERED" | "PROVISIONING" | "PROVISIONED" | "TESTING" | "LIVE" | "RETIRED" | "ROLLED_BACK" | "REJECTED" | "FAILED" | "SUPERSEDED";
  ended: boolean;
  reason: string | null;
  fileName: string;
  author: string | null;
  changedBy: string | null;
  createdAt: string | null;
  updatedAt: string | null;
  packageSha256: string | null;
  packageSizeBytes: number | null;
  version: string | null;
  memoryMb: number | null;
  costUsdPerMillion: number | null;
}

export interface RolledBack {
  releaseId: string;
  rolledBackReleaseId: string | null;
  version: string | null;
}

export interface ServedVersion {
  releaseId: string;
  version: string;
}

export interface SignIn {
  token: string;
}

export interface SignInCode {
  code: string;
  expiresAt: string;
}

export interface StatisticsUsed {
  trimShare: number | null;
  confidence: number | null;
  intervals: string | null;
  relativeError: string | null;
}

export interface StatusChange {
  status: "UPLOADING" | "REGISTERED" | "PROVISIONING" | "PROVISIONED" | "TESTING" | "LIVE" | "RETIRED" | "ROLLED_BACK" | "REJECTED" | "FAILED" | "SUPERSEDED";
  at: string;
  reason: string | null;
  by: string | null;
}

export interface Summary {
  passed: boolean;
  reason: string | null;
  sentence: string;
  strategy: "cost" | "duration" | "balanced" | null;
  search: "fixed" | "adaptive" | null;
  chosenMemoryMb: number | null;
  chosenVersion: string | null;
  runnerUpMemoryMb: number | null;
  verdict: "clear" | "close" | "tie" | "only" | null;
  tiedMemoryMb: (number)[];
  tolerance: number | null;
  probabilityWrong: number | null;
  expectedLoss: number | null;
  powerValues: (PowerValueResult)[];
  cases: (CaseResult)[];
  statistics: StatisticsUsed | null;
  prices: Prices | null;
  testCostUsd: number | null;
  testLambdaCostUsd: number | null;
  stateTransitions: number | null;
  comparison: LiveComparison | null;
  chart: Chart | null;
}

export interface TrendPoint {
  releaseId: string;
  at: string;
  memoryMb: number | null;
  costUsdPerMillion: number | null;
}

export interface Tuning {
  tuningId: string;
  status: "RUNNING" | "SUCCEEDED" | "FAILED" | "TIMED_OUT" | "ABORTED" | "PENDING_REDRIVE";
  ended: boolean;
  reason: string | null;
  function: string | null;
  costAtMostUsd: number | null;
  progress: (Progress)[];
  output: PowerTuningOutput | null;
  summary: Summary | null;
}

export interface TuningCreated {
  tuningId: string;
}

export interface UploadForm {
  url: string;
  fields: Record<string, string>;
}

/** What a path that the API does not have is answered with: nothing that can be read. */
export interface NoSuchPath {
  noSuchPath: true;
}

/** The answer to a method and a path. */
export type Answer<M extends string, P extends string> = P extends string ? AnswerTo<M, P> : never;

type AnswerTo<M extends string, P extends string> =
  [M, P] extends ["POST", `algorithms/${string}/messages/${string}/submit` | `algorithms/${string}/messages/${string}/submit?${string}`] ? Message :
  [M, P] extends ["POST", `algorithms/${string}/failures/delete` | `algorithms/${string}/failures/delete?${string}`] ? Deleted :
  [M, P] extends ["POST", `algorithms/${string}/failures/redrive` | `algorithms/${string}/failures/redrive?${string}`] ? Redriven :
  [M, P] extends ["GET", `algorithms/${string}/failures/${string}` | `algorithms/${string}/failures/${string}?${string}`] ? Failure :
  [M, P] extends ["GET", `algorithms/${string}/messages/${string}` | `algorithms/${string}/messages/${string}?${string}`] ? Message :
  [M, P] extends ["POST", `uploads/failures/delete` | `uploads/failures/delete?${string}`] ? Deleted :
  [M, P] extends ["POST", `uploads/failures/redrive` | `uploads/failures/redrive?${string}`] ? Redriven :
  [M, P] extends ["GET", `algorithms/${string}/failures` | `algorithms/${string}/failures?${string}`] ? FailureList :
  [M, P] extends ["POST", `algorithms/${string}/messages` | `algorithms/${string}/messages?${string}`] ? MessageCreated :
  [M, P] extends ["GET", `algorithms/${string}/queues` | `algorithms/${string}/queues?${string}`] ? AlgorithmQueues :
  [M, P] extends ["GET", `algorithms/${string}/releases` | `algorithms/${string}/releases?${string}`] ? ReleasePage :
  [M, P] extends ["POST", `algorithms/${string}/rollback` | `algorithms/${string}/rollback?${string}`] ? RolledBack :
  [M, P] extends ["GET", `releases/${string}/comparison` | `releases/${string}/comparison?${string}`] ? ReleaseComparison :
  [M, P] extends ["GET", `releases/${string}/logs` | `releases/${string}/logs?${string}`] ? LogEvents :
  [M, P] extends ["GET", `releases/${string}/measurements` | `releases/${string}/measurements?${string}`] ? MeasurementList :
  [M, P] extends ["GET", `uploads/failures/${string}` | `uploads/failures/${string}?${string}`] ? Failure :
  [M, P] extends ["GET", `uploads/failures` | `uploads/failures?${string}`] ? FailureList :
  [M, P] extends ["GET", `algorithms/${string}` | `algorithms/${string}?${string}`] ? Algorithm :
  [M, P] extends ["GET", `releases/${string}` | `releases/${string}?${string}`] ? Release :
  [M, P] extends ["GET", `tunings/${string}` | `tunings/${string}?${string}`] ? Tuning :
  [M, P] extends ["GET", `algorithms` | `algorithms?${string}`] ? AlgorithmList :
  [M, P] extends ["POST", `releases` | `releases?${string}`] ? ReleaseCreated :
  [M, P] extends ["POST", `sign-in-codes` | `sign-in-codes?${string}`] ? SignInCode :
  [M, P] extends ["POST", `sign-ins` | `sign-ins?${string}`] ? SignIn :
  [M, P] extends ["GET", `status` | `status?${string}`] ? PlatformStatus :
  [M, P] extends ["POST", `tunings` | `tunings?${string}`] ? TuningCreated :
  NoSuchPath;
