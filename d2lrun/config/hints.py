"""Suggestions for a wrong word: a similar name, or the meaning of the word in another tool.

This file handles names and text only. ``compose.py`` applies a suggestion and reports remaining complaints with it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

NEAR = 0.75  # of difflib's ratio: below it, names share letters but no meaning

# A key here, and its names in other tools.
WORDS = {
    "seed": "random_seed manual_seed random_state rng_seed",
    "model": "net network arch architecture model_name",
    "dataset": "data dataset_name data_name",
    "optimizer": "optim opt optimiser",
    "schedule": "scheduler lr_scheduler lr_schedule sched",
    "device": "gpu cuda accelerator",
    "validation": "val valid",
    "train.epochs": "epoch e n_epoch n_epochs num_epoch num_epochs max_epoch max_epochs total_epochs num_train_epochs",
    "train.batch_size": "batch bs b mini_batch minibatch_size per_device_train_batch_size",
    "train.clip": "grad_clip gradient_clip gradient_clip_val clip_grad clip_norm clip_grad_norm max_norm max_grad_norm",
    "train.patience": "early_stopping early_stop early_stopping_patience early_stopping_rounds",
    "train.limit_batches": "limit_train_batches max_batches",
    "train.checkpoint_every": "save_every save_steps save_freq checkpoint_interval checkpoint_freq",
    "optimizer.lr": "lr0 learning_rate base_lr init_lr initial_lr learn_rate",
    "optimizer.weight_decay": "wd l2 decay l2_reg",
    "schedule.warmup": "warmup_epochs lr_warmup_epochs",
    "schedule.every": "step_size lr_step_size",
    "schedule.factor": "gamma lr_gamma",
    "validation.k": "n_splits k_fold k_folds folds n_folds num_folds kfold kfolds cv",
    "validation.fraction": "val_split validation_split test_size val_size val_fraction valid_size val_ratio val_frac",
    "device.precision": "dtype mixed_precision amp fp16 bf16",
    "device.threads": "num_threads n_threads nthreads n_jobs cpus",
    "dataset.dir": "root data_dir data_path data_root datadir dataset_dir",
    "dataset.resize": "imgsz img_size image_size input_size resolution",
    "dataset.steps": "num_steps seq_len seq_length sequence_length bptt context_length block_size",
    "dataset.path": "text_file input_file",
    "dataset.tau": "lags n_lags lookback look_back window window_size",
    "dataset.normalise": "normalize standardise standardize scale",
    "dataset.column": "target_column value_column",
    "dataset.time": "date_column time_column timestamp",
    "model.hidden": "hidden_size hidden_dim hidden_units num_hiddens n_hidden hidden_layer_sizes units",
    "model.layers": "num_layers n_layers",
    "model.embedding": "embedding_dim embedding_size embed_size embed_dim emb_dim",
    "model.activation": "act act_fn activation_fn nonlinearity",
    "model.dropout": "drop dropout_rate drop_rate dropout_p",
    "model.init.name": "init weight_init weights_init initializer",
    "model.weights": "checkpoint ckpt ckpt_path checkpoint_path resume_from",
    "model.freeze": "frozen",
    "run.root": "output out output_dir out_dir outdir save_dir log_dir logdir results_dir",
    "run.name": "name exp_name experiment_name run_name",
    "sweep.trials": "n_trials num_trials max_trials",
    "sweep.metric": "monitor",
}

# Keys of other tools that are not needed here: leave them out.
NEEDLESS = {
    "the whole dataset is on the device, no worker process loads it": "workers num_workers n_workers pin_memory "
    "persistent_workers prefetch_factor",
    "one run uses one device": "gpus devices n_gpus ngpus num_gpus nproc_per_node nodes num_nodes strategy",
    "the dataset defines it": "num_classes n_classes classes in_channels input_dim input_shape vocab_size",
    "d2lrun resume RUN continues a run": "resume",
    "every run writes its log, curves and page": "verbose log_every log_interval logger wandb tensorboard callbacks",
    "train.epochs sets the length of training": "iterations iters max_iter max_steps num_steps_total",
}

# An option here, by group, and its names in other tools.
OPTIONS = {
    "dataset": {"fashion-mnist": "fmnist", "timemachine": "time_machine"},
    "validation": {"kfold": "cv crossval cross_validation", "holdout": "val split validation true"},
    "schedule": {"step": "steplr multistep", "cosine": "cosineannealing cosineannealinglr onecycle"},
    "sweep": {"optuna": "tpe bayes bayesian random hyperopt"},
    "experiment": {"house-prices": "kaggle houseprices"},
    "model": {"lenet": "cnn convnet", "mlp": "nn fc dense"},
}

# A verb here, and its names in other tools.
VERBS = {
    "train": "fit run start",
    "evaluate": "test eval val valid validate score",
    "predict": "infer inference detect classify",
    "forecast": "extrapolate prognose",
    "generate": "sample write",
    "translate": "decode",
    "tag": "annotate label",
    "summary": "summarize summarise info show describe torchinfo",
    "cost": "bench benchmark profile time estimate",
    "data": "download explore",
    "compare": "diff plot results",
    "doctor": "check env",
    "resume": "continue restart",
    "-m": "sweep tune search multirun grid_search",
    "--help": "help list ls options usage",
    "--version": "version versions",
}

# A flag of other tools, and the words for it here.
FLAGS = {
    **dict.fromkeys(("cuda", "gpu", "use_cuda", "use_gpu"), "device=auto"),
    **dict.fromkeys(("cpu", "no_cuda", "no_gpu"), "device=cpu"),
    **dict.fromkeys(("amp", "fp16", "half"), "device.precision=fp16"),
    "bf16": "device.precision=bf16",
}


def plain(name: str) -> str:
    """Return the letters and digits of a name: BatchSize, batch-size and batch_size are equal."""
    return re.sub(r"[\W_]+", "", name).lower()


def table(groups: dict[str, str]) -> dict[str, str]:
    """{"key": "word word"} -> {"word": "key"}, with ``plain`` words."""
    return {plain(word): key for key, words in groups.items() for word in words.split()}


def key_of(word: str) -> str | None:
    """Return the key here that another tool calls ``word``."""
    return table(WORDS).get(plain(word))


def needless(word: str) -> str | None:
    """Return why ``word`` of another tool is not needed here; None if it is unknown."""
    return table(NEEDLESS).get(plain(word))


def near(word: str, names: Iterable[str], likeness: float = NEAR) -> str | None:
    """Return the name that ``word`` most likely means, or None.

    Tried in this order: equal except for case and dashes; the only name with this beginning; the same letters in
    another order; similar letters; a name that ``word`` continues with a number, such as vgg for vgg16.
    """
    names, meant = list(names), plain(word)
    same = [name for name in names if plain(name) == meant]
    begun = sorted((name for name in names if len(meant) >= 3 and plain(name).startswith(meant)), key=len)
    begun = begun[:1] if all(name.startswith(begun[0]) for name in begun) else []
    within = [name for name in names if len(plain(name)) >= 3 and re.fullmatch(plain(name) + r"\d+\w*", meant)]
    mixed = [name for name in names if len(meant) >= 3 and sorted(plain(name)) == sorted(meant)]
    alike = difflib.get_close_matches(word.lower(), names, n=1, cutoff=likeness)
    found = same or begun or mixed or alike or sorted(within, key=len)[-1:]
    return found[0] if found else None


def option(group: str, word: str, options: Iterable[str]) -> str | None:
    """Return the option of a config group that ``word`` most likely means."""
    options = list(options)
    known = table(OPTIONS.get(group, {})).get(plain(word))
    return known if known in options else near(word, options)


def verb(word: str, verbs: Iterable[str]) -> str | None:
    """Return the verb that ``word`` most likely means."""
    return table(VERBS).get(plain(word)) or near(word, verbs)


def enumerated(names: list[str]) -> str:
    """Return 'a', 'a and b', or 'a, b and c'."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def written(words: list[str], options: dict[str, str], keys: Iterable[str]) -> list[str]:
    """Convert a command line of other tools to KEY=VALUE: --lr 0.1, lr = 0.1, lr: 0.1 and "lr 0.1" become lr=0.1.

    ``options`` maps the options of all config groups to their group, so that lenet becomes model=lenet; ``keys`` are
    the full keys. Other words are unchanged.
    """
    names = {plain(name) for key in keys for name in (key, key.rpartition(".")[2])} | set(table(WORDS))
    same = {plain(name): f"{group}={name}" for name, group in reversed(options.items())}
    flags = {plain(name): word for name, word in FLAGS.items()}
    rest, found = list(words), []
    while rest:
        given = rest.pop(0)
        word = given.lstrip("-").rstrip(",;")
        dashed = given.startswith("-")
        key, sign, value = word.partition("=" if "=" in word else ":")
        if not sign and rest and rest[0].startswith("="):
            sign, rest[0] = "=", rest[0][1:]
            rest = rest if rest[0] else rest[1:]
        named = dashed or plain(key) in names
        if sign == ":" and not named:
            key, sign, value = word, "", ""
        lone = dashed and not sign and plain(word) in flags
        if lone and rest and re.fullmatch(r"[01]|true", rest[0], re.IGNORECASE):
            rest.pop(0)  # --gpu 0
        if (sign or (named and not lone)) and not value and rest and "=" not in rest[0] and rest[0][:2] != "--":
            sign, value = "=", rest.pop(0).rstrip(",;")
        if sign and value:
            found.append(f"{key}={value}")
        else:
            found.append(flags[plain(word)] if lone else same.get(plain(word), given))
    return found
