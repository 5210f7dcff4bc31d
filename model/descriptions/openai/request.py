"""The body of a chat request with one image in it."""

import base64
import json
from io import BytesIO

from PIL import Image

from model.descriptions.openai.settings import Picture, Sampling


def data_url(image: Image.Image, picture: Picture) -> str:
    """An RGB image as a `data:` URL of a JPEG whose longest side is `picture.side` at most."""
    if max(image.size) > picture.side:
        image = image.copy()  # the caller's stays as it is
        image.thumbnail((picture.side, picture.side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=picture.quality)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getbuffer()).decode()}"


def chat_body(model: str, sampling: Sampling, system: str, text: str, url: str) -> bytes:
    """What is posted to `/chat/completions`: instructions, the image, and what is asked of it."""
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
    request = {
        "model": model,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": content}],
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
    }
    return json.dumps(request).encode()
