"""What runs inside AWS: the one implementation of Greenroom.

The flow, in the order a release goes through it; each module does one stretch, each file in `handlers` is the thin
Lambda function that calls it:

1. `ingest`: a presigned POST lets a ZIP into the packages bucket; the object's event, through SQS, has it read, checked
   and registered.
2. `flow`: the registry's stream starts a state machine for each status that needs one, and tells the topic of the rest.
   The lock that lets one release at a time change an algorithm's function is taken and let go here.
3. `provisioning` (`provision.asl.json`): the algorithm's own stack from `algorithm.yaml`, created or updated.
4. `backstage` (`backstage.asl.json`): a version and an alias for each power value, invocations against the package's
   own tests, the choice, and alias `prod` moved only if all of that succeeded.
5. `production`: documents sent to live algorithms, their results, and the way back to an earlier release.
6. `sweeping`: what has got stuck is driven on, or failed with a reason.

`views` is what the HTTP API shows of all this. `names` and `storage` say how things are called in AWS and in S3;
`services` is the one place where boto3 clients are made. Deciding what to test, and what the measurements mean, is not
done here but in `tuning`; what a package is, in `package`; which status may follow which, in `releases`.
"""
