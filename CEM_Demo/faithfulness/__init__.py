"""Is a signed map faithful? Joint interventions on the blocks that it calls helpful, or harmful."""

from CEM_Demo.faithfulness.assessment import Design, Faithfulness, assess
from CEM_Demo.faithfulness.explained import assess_explanation

__all__ = ["Design", "Faithfulness", "assess", "assess_explanation"]
