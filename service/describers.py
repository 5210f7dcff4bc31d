"""Which describer images of requests go to: the one of the model, or the server that the settings name."""

import os
from collections.abc import Callable

from model.artifact import ModelArtifact
from model.descriptions.of_model import describer_of_model, files_of, refuse_other
from model.errors import ConfigError
from service.cache.breaker import Breaker
from service.core.budget import Workers
from service.core.describing import Describing, LocalDescribing, RemoteDescribing
from service.settings import Settings

_PAUSE_S, _MAX_PAUSE_S = 2.0, 60.0
_SERVER = "openai:"
# A run over a gallery gives up on a dead server; a service waits for it to come back.
_NEVER = 2**62


def make_describing(settings: Settings) -> Callable[[ModelArtifact, Workers], Describing | None]:
    """For a model, what describes images; None for one that fuses no descriptions, or has no describer at hand.

    Raises ArtifactMissing, ArtifactCorrupt and ArtifactMismatch for a describer that came with the model and cannot be
    used or is another one, and ConfigError for a server that does not belong to the model.
    """

    def describing(artifact: ModelArtifact, workers: Workers) -> Describing | None:
        semantics = artifact.manifest.semantics
        if semantics is None:
            return None
        if files_of(semantics.describer):
            local = describer_of_model(artifact)
            return None if local is None else LocalDescribing(local, workers)
        return None if settings.describe_url is None else _remote(settings, settings.describe_url, artifact)

    return describing


def _remote(settings: Settings, url: str, artifact: ModelArtifact) -> Describing:
    from model.descriptions.openai import Endpoint, OpenAIDescriber, Patience

    semantics = artifact.manifest.semantics
    assert semantics is not None
    if not semantics.describer.startswith(_SERVER):
        raise ConfigError(
            f"AAHR_DESCRIBE_URL is set, but the model {artifact.manifest.name} was described by {semantics.describer}, "
            "which is not a server: unset it"
        )
    endpoint = Endpoint.of(url, semantics.describer.removeprefix(_SERVER), os.environ)
    timeout_s = settings.describe_timeout_s
    patience = Patience(
        timeout_s=timeout_s,
        deadline_s=timeout_s,
        attempts=2,
        first_wait_s=0.1,
        longest_wait_s=1.0,
        failures_in_a_row=_NEVER,
    )
    describer = OpenAIDescriber(endpoint, "generated", patience=patience)
    try:
        refuse_other(describer.source, semantics.source, "AAHR_DESCRIBE_URL")
    except Exception:
        describer.close()
        raise
    breaker = Breaker(_PAUSE_S, max_lag_s=1.0, trial_s=2 * timeout_s, max_pause_s=_MAX_PAUSE_S)
    return RemoteDescribing(describer, breaker, timeout_s=timeout_s, close=describer.close)
