"""Recipes: every shipped one parses, and what cannot run is refused with its key and value."""

from pathlib import Path

import pytest

from model.errors import ConfigError
from training.config import load_config, parse_config

CONFIGS = sorted((Path(__file__).resolve().parents[3] / "training" / "configs").glob("*.toml"))
MINI = next(path for path in CONFIGS if path.stem == "mini")
WITH_CLIP_SENTENCES = ("clip", "paper-f30k", "paper-coco", "vsd-f30k", "vsd-coco")
VSD = next(path for path in CONFIGS if path.stem == "vsd")
PAPER = next(path for path in CONFIGS if path.stem == "paper-f30k")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_recipe_parses(path: Path) -> None:
    assert load_config(path).name == path.stem


def test_a_shipped_recipe_is_found_by_its_name_and_a_file_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("mini")) == load_config(MINI)
    base = MINI.with_name("mini-frozen.toml").read_text()
    Path("mini").write_text(base.replace('name = "mini-frozen"', 'name = "mine"'))
    assert load_config(Path("mini")).name == "mine"
    with pytest.raises(ConfigError, match="no training config at minni; give a file, or one of ablation, clip, "):
        load_config(Path("minni"))


def test_overrides_take_toml_values_and_bare_words() -> None:
    config = load_config(
        MINI, ["optimiser.learning_rate=1e-3", "objective.matching.loss=hard_negative", "batch.flips=false", "seed=7"]
    )
    assert config.optimiser.learning_rate == 1e-3
    assert config.objective.matching.loss == "hard_negative"
    assert not config.batch.flips
    assert config.seed == 7


def test_paths_of_data_are_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGES", "/images")
    config = load_config(MINI, ['data.flickr8k.images="$IMAGES/flickr8k"'])
    assert config.data["flickr8k"].images == Path("/images/flickr8k")


@pytest.mark.parametrize("side", ["image_backbone", "text_backbone"])
def test_paths_of_backbones_are_expanded(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("WEIGHTS", "weights")
    config = load_config(MINI, [f'model.{side}.path="~/$WEIGHTS/x"'])
    assert getattr(config.model, side).path == Path("/home/me/weights/x")


def test_the_sentences_of_the_papers_presets_are_clips_and_their_path_is_expanded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEIGHTS", "/weights")
    for path in CONFIGS:
        sentences = load_config(path).model.text_global_backbone
        assert (sentences is not None) == (path.stem in WITH_CLIP_SENTENCES), path.stem
    given = load_config(PAPER, ["model.text_global_backbone.path=$WEIGHTS/clip"]).model.text_global_backbone
    assert given is not None
    assert (given.name, given.path) == ("clip-text-embedding", Path("/weights/clip"))


@pytest.mark.parametrize("override", ["data=3", "model=3", "model.image_backbone=3"])
def test_a_value_in_place_of_a_table_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match=f"{override.partition('=')[0]}: "):
        load_config(MINI, [override])


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("optimiser.learning_rat=1", r"optimiser\.learning_rat"),
        ("optimiser.learning_rate=-1", r"optimiser\.learning_rate.*-1"),
        ("objective.relation.start=0.95", "less than a tenth"),
        ("objective.prototypes.count=0", "prototypes.count"),
        ("select_on=coco", "select_on = 'coco'"),
        ("data.coco.format=scan", "directory"),
        ("data.coco.format=karpathy", "captions"),
        ("epochs=many", "epochs.*many"),
        ("epochs", "key=value"),
        ("name.first=1", "is a value, not a table"),
        ("batch.accumulate=0", r"batch\.accumulate.*got 0"),
        ("precision=fp16", "precision: .*'fp32' or 'bf16'.*fp16"),
        ("objective.prototypes.epsilon=0.1", r"epsilon = 0\.1 is not below its temperature = 0\.1.*at most 0\.05"),
        ("objective.momentum.enabled=false", r"over_keys = true needs .* set objective\.momentum\.enabled = true"),
        ("batch.epoch_over=words", "epoch_over: .*'images' or 'captions'.*words"),
        ("objective.momentum.queue=2000", r"queue = 2000 is not a whole number of batches .* = 128: choose 2048"),
    ],
)
def test_what_cannot_run_is_refused_with_key_and_value(override: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_config(MINI, [override])


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("data.captioned.clip=clip", "`clip` takes the raw images .* set `images`"),
        ("data.more.format=scenes", "data.more holds images, .* takes precomputed regions"),
        ("model.image_backbone.name=clip", r"data\.captioned\.images is missing"),
        ("batch.flips=true", r"no mirror image .* leave batch\.flips"),
        ("data.captioned.directori=x", r"data\.captioned\.directori"),
    ],
)
def test_regions_and_images_are_told_apart(override: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_config(PAPER, [override])
    assert load_config(PAPER, ["data.captioned.images=x", "data.captioned.clip=y"]).data["captioned"].clip == Path("y")


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no training config at"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(tmp_path / "broken.toml")


def test_cells_in_front_of_trained_blocks_cannot_be_dropped() -> None:
    with pytest.raises(ConfigError, match=r"batch\.drop_cells = 0\.1 hides cells in front of the trained blocks"):
        load_config(MINI, ["batch.drop_cells=0.1"])


def test_a_recipe_extends_another_key_by_key(tmp_path: Path) -> None:
    for name in ("mini.toml", "mini-frozen.toml"):
        (tmp_path / name).write_text((MINI.parent / name).read_text())
    (tmp_path / "mine.toml").write_text('extends = "mini.toml"\nname = "mine"\n[optimiser]\nlearning_rate = 0.5\n')
    mine, mini = load_config(tmp_path / "mine.toml"), load_config(MINI)
    assert (mine.name, mine.optimiser.learning_rate) == ("mine", 0.5)
    assert mine.optimiser.schedule == mini.optimiser.schedule
    assert mine.model == mini.model
    (tmp_path / "lost.toml").write_text('extends = "none.toml"\n')
    with pytest.raises(ConfigError, match=r"none\.toml"):
        load_config(tmp_path / "lost.toml")
    (tmp_path / "self.toml").write_text('extends = "self.toml"\n')
    with pytest.raises(ConfigError, match="extends itself"):
        load_config(tmp_path / "self.toml")


def test_recipes_that_extend_each_other_in_a_circle_are_refused(tmp_path: Path) -> None:
    for name, base in (("first", "second"), ("second", "third"), ("third", "./second")):
        (tmp_path / f"{name}.toml").write_text(f'extends = "{base}.toml"\n')
    with pytest.raises(
        ConfigError, match=r"second\.toml extends itself \(second\.toml -> third\.toml -> second\.toml\)"
    ):
        load_config(tmp_path / "first.toml")


def test_descriptions_and_semantics_come_together() -> None:
    described = ["data.flickr8k.descriptions=d.jsonl"]
    semantics = load_config(VSD, described).model.semantics
    assert semantics is not None
    assert (semantics.sentence_encoder.name, semantics.fusion, semantics.weight) == ("minilm", "sum", 0.15)
    tree = load_config(VSD, described).model_dump(mode="json")
    for change, message in (
        ({"data": {"flickr8k": {**tree["data"]["flickr8k"], "descriptions": None}}}, r"give data\.NAME\.descriptions"),
        ({"model": {**tree["model"], "semantics": None}}, r"add \[model\.semantics\], or leave the file out"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_config({**tree, **change}, "recipe")
    with pytest.raises(ConfigError, match="set trainable = false"):
        load_config(VSD, ["model.semantics.sentence_encoder.trainable=true"])
    with pytest.raises(ConfigError, match=r"semantic_prototypes are centroids of descriptions"):
        load_config(VSD.parent / "vse.toml", ["objective.semantic_prototypes.enabled=true"])
