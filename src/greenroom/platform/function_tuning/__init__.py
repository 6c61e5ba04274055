"""Function tuning: the best memory size for any Lambda function of the account, as `greenroom tune` asks for it.

A campaign like that of a release, on a function that is somebody else's: versions and aliases are made next to the
function's own and removed again, and `$LATEST` is put back to what it was. Which functions may be tuned is said when
the platform is deployed, and IAM holds it.

    input   what is asked: the execution input of AWS Lambda Power Tuning
    job     what was asked of one tuning, and the function as it was found
    claim   who tunes a function at present, and what the function was like before
    steps   the steps of `machines/function_tuning.asl.yaml`
    output  what was found, in the shape of AWS Lambda Power Tuning's output, and as the HTTP API shows it

The packages bucket holds, under `tunings/<id>/`, the job (`job.json`), the measurements, and what was found
(`result.json`); under `tunings/.functions/`, the claims.
"""
