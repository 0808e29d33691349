"""Print the page of the documentation that the descriptions make."""

import sys

from common.resources import RESOURCES
from common.resources.derive import to_markdown
from common.resources.parties import PARTIES

sys.stdout.write(to_markdown(RESOURCES, PARTIES))
