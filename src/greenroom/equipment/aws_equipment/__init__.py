"""What connects an algorithm to its services, or to its tests: the Lambda layer `aws_equipment`.

    from aws_equipment import AlgorithmWorker

    def lambda_handler(event, context):
        return AlgorithmWorker(NsxTranslator, event, context).runIn()

In production `runIn` takes documents from the algorithm's queue and forwards the answers of `translate` to the next
algorithms; `runOut` writes them to the algorithm's bucket. Invoked through an alias `test-<MB>`, both run one of the
package's own test cases instead, and touch no service. Standard library and boto3 only.
"""

from aws_equipment.errors import EquipmentError
from aws_equipment.worker import AlgorithmWorker, algUnitTest

__all__ = ["AlgorithmWorker", "EquipmentError", "algUnitTest"]
