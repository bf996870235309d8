"""The tables of tasks, datasets and networks: for each name, the facts that are needed without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from d2lrun.config.types import (
    Activation,
    Between,
    Count,
    Depth,
    Fraction,
    Line,
    NonNegative,
    Number,
    Positive,
    Probability,
    Rows,
    Seed,
    Sha256,
    Size,
    Terms,
)

# Kinds of inputs of a network, in words.
INPUTS = {
    "images": "images",
    "table": "rows of a table",
    "text": "text",
    "series": "windows of a series",
    "pairs": "pairs of sequences",
    "tagged": "tagged sentences",
    "sentences": "separate texts",
}


@dataclass(frozen=True)
class Task:
    """A line of ``TASKS``: the facts about a task that are needed before torch is imported."""

    title: str  # its name in messages
    inputs: str  # the inputs of its networks: one of INPUTS
    metrics: dict[str, str]  # each metric with its better direction, min or max; the first that was measured ranks
    final: dict[str, str] = field(default_factory=dict)  # metrics that are measured at the end only, and never rank
    augments: bool = False  # whether its training examples are images that the config group ``augment`` changes
    weighs: bool = False  # whether its loss knows classes that ``train.class_weights`` weighs
    own: str | None = None  # the dataset of one's own data that reads inputs and targets in memory


@dataclass(frozen=True)
class Source:
    """The code of a network or dataset that is not d2lrun's own; it stands in the config of a run."""

    path: Line | None  # the file of a plugin; null: it was given in Python
    sha256: Sha256  # of the file; of code that was given in Python, its fingerprint (config/code.py)
    task: str | None = None  # of a dataset: one of TASKS


@dataclass
class Added:
    """What a line has if other code than d2lrun's own added it (config/registry.py)."""

    make: Callable[..., Any]  # the network of the keys; the data of the keys
    source: Source
    values: dict[str, Any] = field(default_factory=dict)  # of the keys, if no override sets them
    meanings: dict[str, str] = field(default_factory=dict)  # of the keys, for the help
    headline: str = ""  # for the help
    code: Any = None  # what a fingerprint as sha256 is of, if it can change while it is registered
    lazy: bool = False  # whether it is an instance that gets parameters with its first inputs, such as nn.LazyLinear


@dataclass
class Network:
    """A line of ``MODELS``: the class or function of a network, and its arguments with their types."""

    attribute: str
    arguments: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ("images",)  # the inputs that it takes, from INPUTS
    matching: dict[str, str] = field(default_factory=dict)  # a list of one value, or of one for each of another key
    steps: bool = True  # whether it learns by optimizer steps; false: in one pass over the training part
    added: Added | None = None


@dataclass
class Dataset:
    """A line of ``DATASETS``: the task of a dataset, and the keys of its YAML file with their types."""

    task: str  # one of TASKS
    arguments: dict[str, Any] = field(default_factory=dict)  # of ``load`` in its file
    view: dict[str, Any] = field(default_factory=dict)  # attributes of the dataset that change the network's input
    matching: dict[str, str] = field(default_factory=dict)  # as in Network
    unlabelled: bool = False  # whether it has test examples without targets, to predict
    named: bool = False  # whether its examples are rows of a file with named columns
    columns: str | None = None  # for generated rows: the key with the number of columns
    added: Added | None = None


# Metrics of examples with one class each; the last two are measured if they are asked for, and for each table.
LABELLED = {"accuracy": "max", "balanced_accuracy": "max", "macro_f1": "max"}

# A task: the folder d2lrun/tasks/<name>, and one line here.
TASKS = {
    "classification": Task(
        "classification", "images", LABELLED | {"loss": "min"}, augments=True, weighs=True, own="arrays"
    ),
    "tabular": Task(
        "tabular task",
        "table",
        LABELLED | {"log_rmse": "min", "rmse": "min", "loss": "min"},
        weighs=True,
        own="csv",
    ),
    "language_model": Task("language model", "text", {"perplexity": "min", "loss": "min", "bits_per_character": "min"}),
    "translation": Task(
        "translation",
        "pairs",
        {"perplexity": "min", "exact_match": "max", "loss": "min", "token_accuracy": "max", "book_loss": "min"},
        final={"bleu": "max", "book_bleu": "max", "longer_exact_match": "max"},
    ),
    "forecasting": Task("forecasting task", "series", {"rmse": "min", "loss": "min"}),
    "tagging": Task("tagging task", "tagged", {"accuracy": "max", "macro_f1": "max", "loss": "min"}),
    "text_classification": Task("text classification", "sentences", LABELLED | {"loss": "min"}, weighs=True),
}

MLP_ARGUMENTS = {"hidden": list[Size], "activation": Activation, "dropout": list[Probability], "share": bool}
LENET_ARGUMENTS = {"activation": Activation, "pool": Literal["avg", "max"]}
VGG_ARGUMENTS = {"depth": Literal[11, 13, 16, 19], "ratio": Literal[1, 2, 4, 8, 16], "dropout": Probability}

RECURRENT_ARGUMENTS = {
    "hidden": Size,
    "layers": Depth,
    "bidirectional": bool,
    "dropout": Probability,
    "impl": Literal["torch", "scratch"],
    "embedding": Size | None,
    "tied": bool,
}
TRANSFORMER_ARGUMENTS = {
    "width": Size,
    "layers": Depth,
    "heads": Size,
    "feedforward": Size,
    "dropout": Probability,
    "norm": Literal["post", "pre"],
    "impl": Literal["torch", "scratch"],
    "context": Size,
    "position": Literal["own", "first"],
}
RECURRENT = ("text", "images", "series", "tagged", "sentences")  # inputs of recurrent networks
NGRAM_ARGUMENTS = {
    "order": Annotated[int, Between(1, 6)],
    "smoothing": Literal["laplace", "witten-bell", "kneser-ney"],
    "strength": list[Positive],
}
TEXTCNN_ARGUMENTS = {
    "embedding": Size,
    "kernels": list[Annotated[int, Between(1, 100)]],
    "channels": Size,
    "pool": Literal["max", "avg"],
    "dropout": Probability,
}

SEQ2SEQ_ARGUMENTS = {
    **{"embedding": Size, "hidden": Size, "layers": Depth, "bidirectional": bool, "dropout": Probability},
    "attention": Literal["none", "additive"],
    "context": Literal["encoder", "state"],
    "padding": Literal["skip", "read"],
}

# A network: conf/model/<name>.yaml, d2lrun/models/<name, dashes as _>.py, and one line here.
MODELS = {
    "softmax": Network("Softmax", inputs=("images", "table")),
    "linear": Network("Linear", {"bias": bool}, ("table", "series")),
    "mlp": Network("MLP", MLP_ARGUMENTS, ("images", "table", "series"), matching={"dropout": "hidden"}),
    "lenet": Network("LeNet", LENET_ARGUMENTS),
    "lenet-bn": Network("LeNetBN", LENET_ARGUMENTS),
    "alexnet": Network("AlexNet", {"dropout": Probability}),
    "vgg": Network("VGG", VGG_ARGUMENTS),
    "nin": Network("NiN", {"dropout": Probability, "final_relu": bool}),
    "googlenet": Network("GoogLeNet", {"batch_norm": bool}),
    "resnet": Network("ResNet", {"depth": Literal[18, 34, 50], "stem": Literal["7x7", "3x3"]}),
    "densenet": Network("DenseNet", {"growth": Size, "blocks": list[Depth]}),
    "torchvision": Network("build", {"arch": str, "pretrained": bool}),
    "rnn": Network("build", RECURRENT_ARGUMENTS, RECURRENT),
    "gru": Network(
        "build", {**RECURRENT_ARGUMENTS, "reset_after": bool}, ("text", "images", "series", "tagged", "sentences")
    ),
    "lstm": Network("build", RECURRENT_ARGUMENTS, RECURRENT),
    "nadaraya-watson": Network("NadarayaWatson", {}, ("table",)),
    "transformer": Network("build", TRANSFORMER_ARGUMENTS, ("text", "pairs")),
    "seq2seq": Network("Seq2Seq", SEQ2SEQ_ARGUMENTS, ("pairs",)),
    "ngram": Network("NGram", NGRAM_ARGUMENTS, ("text",), steps=False),
    "bag-of-words": Network("BagOfWords", inputs=("sentences",)),
    "textcnn": Network("TextCNN", TEXTCNN_ARGUMENTS, ("sentences",)),
}

# Keys of every image dataset that change the network's input.
PICTURE = {
    "normalise": Literal["none", "standard", "imagenet"],
    "resize": Annotated[int, Between(1, 1024)] | None,  # pixels of both sides; null: as stored
    "channels": Literal[1, 3],  # 3: grey three times
}
COLOURED = {key: PICTURE[key] for key in ("resize", "normalise")}  # of datasets whose channels are as they are
# Keys of every dataset of picture files: how a file is stored.
STORED = {"size": Annotated[int, Between(1, 1024)], "framing": Literal["crop", "pad", "stretch"]}

# Keys of every text dataset: how text becomes tokens, and how batches of a stream are cut.
WINDOW = {"steps": Size, "sampling": Literal["random", "sequential"], "prefix": str | None}
TOKENS = {"kind": Literal["char", "word", "jieba"], "rule": Literal["letters", "lower", "none"]}
TEXT = {
    **TOKENS,
    "min_freq": Count,
    "reserved": list[str],
    "max_tokens": Count | None,
}

# Keys of every dataset of tagged sentences: what the network sees of a sentence.
SPELLED = {"min_freq": Count, "characters": Annotated[int, Between(1, 100)] | None}
TAGGED = {"steps": Size, **SPELLED}
COLUMN = Annotated[int, Between(-1000, 1000, without=(0,))]

# Keys of every dataset of sentence pairs.
TOKEN_KIND = Literal["char", "word", "jieba"]
PAIRED = {
    "source_kind": TOKEN_KIND,
    "target_kind": TOKEN_KIND,
    "max_pairs": Count | None,
    "held_out": bool,
    "min_freq": Count,
    "steps": Size | None,
    "batches": Literal["fixed", "random", "by_length"],
    "loss": Literal["token", "book"],
}
# Keys of every series that change the network's input.
SERIES = {"tau": Size, "normalise": Literal["none", "standard"]}

# Keys of every dataset of separate texts: its vocabulary, the most tokens of a text, and how batches are made.
SENTENCES = {"min_freq": Count, "steps": Size | None, "by_length": bool}

# Keys of generated rows.
MOST_NUMBERS = 2**30  # most numbers in a generated table: 8 GB while it is generated
MADE = {"n_train": Rows, "n_test": Rows, "noise": NonNegative, "seed": Seed}

# A dataset: conf/dataset/<name>.yaml, d2lrun/datasets/<name, dashes as _>.py, and one line here.
DATASETS = {
    "fashion-mnist": Dataset("classification", {"dir": str | None, "verify": bool, "mirrors": list[str]}, PICTURE),
    "folder": Dataset(
        "classification",
        {
            "path": str | None,
            "colours": Literal[1, 3],
            **STORED,
            "test_fraction": Annotated[float, Between(0, 0.9)],
            "skip_unreadable": bool,
        },
        COLOURED,
    ),
    "arrays": Dataset("classification", {"path": str | None, "colours": Literal[1, 3] | None}, COLOURED),
    "mnist": Dataset("classification", {"dir": str | None, "mirrors": list[str]}, PICTURE),
    "kmnist": Dataset("classification", {"dir": str | None, "mirrors": list[str]}, PICTURE),
    "digits": Dataset("classification", {"dir": str | None}, PICTURE),
    "cifar10": Dataset("classification", {"dir": str | None, "mirrors": list[str]}, COLOURED),
    "hotdog": Dataset("classification", {"dir": str | None, **STORED, "mirrors": list[str]}, COLOURED),
    "timemachine": Dataset("language_model", {"dir": str | None, "mirrors": list[str], **TEXT}, WINDOW),
    "text": Dataset("language_model", {"path": list[str], "encoding": str, **TEXT}, WINDOW),
    "pydoc": Dataset("language_model", TEXT, WINDOW),
    "polynomial": Dataset("tabular", {"degree": Terms, "coefficients": list[Number], **MADE}, columns="degree"),
    "linear": Dataset(
        "tabular",
        {"inputs": Size, "weights": list[Number], "bias": Number, **MADE},
        matching={"weights": "inputs"},
        columns="inputs",
    ),
    "kernel": Dataset("tabular", MADE, columns="n_train"),
    "csv": Dataset(
        "tabular",
        {
            **{"path": str | None, "test": str | None, "target": str | Count | None, "encoding": str},
            "task": Literal["auto", "regression", "classification"],
            **{"categories": list[str], "drop": list[str], "id": str | Count | None, "group": str | None},
        },
        named=True,
    ),
    "house-prices": Dataset(
        "tabular",
        {"dir": str | None, "fit": Literal["train", "all"], "group": str | None, "mirrors": list[str]},
        unlabelled=True,
        named=True,
    ),
    "tagged-text": Dataset(
        "tagging",
        {
            **{"path": list[str], "test": str | None, "encoding": str},
            **{"format": Literal["auto", "columns", "slashes"], "token": COLUMN, "tag": COLUMN},
        },
        TAGGED,
    ),
    "people-daily": Dataset("tagging", {"dir": str | None}, TAGGED),
    "restore": Dataset(
        "tagging",
        {"path": list[str], "encoding": str, "dir": str | None, "mirrors": list[str], "steps": Size},
        SPELLED,
    ),
    "fra-eng": Dataset("translation", {"dir": str | None, "mirrors": list[str], **PAIRED}),
    "pairs": Dataset(
        "translation",
        {
            **{"path": list[str], "encoding": str},
            "rule": Literal["book", "lower", "none"],
            "metric": Literal["perplexity", "exact_match"],
            **PAIRED,
        },
    ),
    "arithmetic": Dataset(
        "translation",
        {
            "digits": Annotated[int, Between(1, 8)],
            "operators": list[Literal["+", "-", "*"]],
            **{"n_train": Rows, "n_test": Rows, "seed": Seed},
            "batches": Literal["random", "by_length"],
        },
    ),
    "sine": Dataset("forecasting", {"frequency": Number, **MADE}, SERIES),
    "series": Dataset(
        "forecasting",
        {
            **{"path": list[str], "encoding": str, "column": str | None, "time": str | None},
            "test_fraction": Fraction,
        },
        SERIES,
    ),
    "reviews-zh": Dataset("text_classification", {"dir": str | None, **TOKENS}, SENTENCES),
    "imdb": Dataset("text_classification", {"dir": str | None, "mirrors": list[str], **TOKENS}, SENTENCES),
    "labelled-text": Dataset(
        "text_classification",
        {
            **{"path": list[str], "test": list[str], "encoding": str},
            **{"text": str | Count | None, "label": str | Count | None, **TOKENS},
        },
        SENTENCES,
    ),
}


BY_GROUP: dict[str, dict[str, Any]] = {"model": MODELS, "dataset": DATASETS}  # the config groups that have a table


def network_of(model: Any) -> Network:
    """Return the line of a config group ``model``; an empty one for a recorded network whose code is not loaded."""
    return MODELS.get(model.name) or Network("", inputs=tuple(INPUTS))


def dataset_of(dataset: Any) -> Dataset:
    """Return the line of a config group ``dataset``; one with its task for a recorded dataset that is not loaded."""
    return DATASETS.get(dataset.name) or Dataset(dataset.source.task)


def fits(model: str, dataset: str) -> bool:
    """Whether a network takes the examples of a dataset."""
    return TASKS[DATASETS[dataset].task].inputs in MODELS[model].inputs
