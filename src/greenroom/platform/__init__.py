"""What runs inside AWS: the one implementation of Greenroom.

`template.yaml` is the platform's stack. It has a Lambda function for each file in `handlers`, and the state machines of
`machines`; `algorithm.yaml` is the stack of one algorithm. A handler is thin: it reads an event and calls one stretch.

The stretches, in the order in which a release goes through them:

1. `ingest`: a presigned POST lets a ZIP into the packages bucket; the object's event has it read, checked, registered.
2. `flow`: the registry's stream starts a state machine for a status that needs one, and tells the topic of the others.
   The lock, which lets one release at a time change an algorithm's function, is taken and released here.
3. `provisioning` (`machines/provision`): the algorithm's own stack is created or updated.
4. `backstage` (`machines/backstage`): the release is tested, chosen from, promoted, and cleaned up after.
5. `production`: documents are sent to live algorithms and answered; an earlier release is made live again. `failures`:
   what could not be handled is looked at, redriven or deleted.
6. `sweeping`: what got stuck is driven on, or failed with a reason.

And one that no release goes through: `function_tuning` (`machines/function_tuning`) tunes any function of the account.

Measuring, which `backstage` and `function_tuning` share:

    campaign          the steps plan, publish, execute, decide, for a function that its owner describes
    live_comparison   a release and the live one, measured in turn
    specs             what the test of a package is
    cases             one test case as an event, and its verdict
    measuring         one invocation, and what its log says
    measurements      where they are kept
    transitions       how many state transitions a test takes
    cost_bounds       what a test can cost, which `ingest` tells the developer

What everything stands on:

    services          settings and boto3 clients: the only place where they are made
    functions         Lambda's functions, and waiting for them
    storage, queues   the packages bucket; queues of documents
    names             how things are called in AWS
    aws_errors        what an error of AWS means
    findings, views   what was found, and what there is, as the HTTP API's models (`wire`)

What to measure next and what measurements mean is decided in `tuning`; what a package is, in `package`; which status
may follow which, in `releases`. A stretch imports what stands below the stretches here, and no later stretch.
"""
