"""What a vision-language model is asked, after VSD (section 3.1): main scene, key objects, primary action, details.

In training a description starts from the caption that people wrote. At test time there is none to start from: the model
writes a caption of the image first, and then describes the image with that.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

# "reference": with a caption that people wrote. "generated": with one that the model has written itself.
Mode = Literal["reference", "generated"]

_CAPTION = "{caption}"


@dataclass(frozen=True)
class Prompts:
    """All texts that are sent. `version` goes up where the way of asking changes and the texts do not."""

    version: int = 1
    system: str = (
        "You describe images for a search engine. Say only what can be seen. "
        "Answer in plain English prose: no headings, no lists, no remarks about the task."
    )
    caption: str = "Write one sentence that says who or what this image shows, doing what, and where."
    describe: str = (
        "This image was captioned as follows:\n"
        f"{_CAPTION}\n\n"
        "With that as a guide, describe the image in three or four sentences: the main scene, the key objects, the "
        "primary action, and the significant visual details, such as colours, numbers and positions. Where the caption "
        "and the image differ, go by the image."
    )

    def describe_with(self, caption: str) -> str:
        """The request for a description that starts from a caption."""
        return self.describe.replace(_CAPTION, caption)  # not `format`: captions may hold braces


PROMPTS = Prompts()


def prompt_hash(prompts: Prompts, mode: Mode, settings: Mapping[str, object]) -> str:
    """16 hex digits over all texts, the mode and the settings (model, sampling, size of the image), in any order."""
    content = json.dumps({"prompts": asdict(prompts), "mode": mode, "settings": dict(settings)}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
