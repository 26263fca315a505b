# SPDX-License-Identifier: BSD-3-Clause
"""Files that PyTorch writes, and the numbers in them: tests/golden/torch_files.

Written by torch 2.11.0 and safetensors 0.8.0. The older container is written by the same release,
as torch 1.0 to 1.5 did; what only older releases wrote (no record `byteorder`, storages that are
views of others, files of a big-endian machine) is made from these files by hand.
No seed: nothing is random.

    pip install torch==2.11.0 safetensors==0.8.0
    python tools/reference/torch_files.py tests/golden/torch_files

values.json has for each file its tensors: dtype, shape, strides, and elements as float64 (complex
ones as pairs, those of packed dtypes as the integers with their bits).
"""

import collections
import io
import json
import pathlib
import pickle
import struct
import sys
import zipfile

import torch
from safetensors.torch import save_file

DTYPES = [
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
    "complex128", "complex64", "complex32", "uint64", "uint32", "uint16", "float8_e4m3fn",
    "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
]
# PyTorch keeps them, and computes nothing with them; the integers have their bits.
PACKED = {
    "float4_e2m1fn_x2": torch.uint8, "bits16": torch.int16, "bits8": torch.uint8, "bits4x2": torch.uint8,
    "bits2x4": torch.uint8, "bits1x8": torch.uint8,
}
MAGIC = 0x1950A86A20F9469CFC6C


def of_dtype(name):
    """Six numbers that every dtype can hold but for sign: small powers of two and their sums."""
    dtype = getattr(torch, name)
    if name in PACKED:
        return torch.tensor([[1, 2, 4], [8, 16, 127]], dtype=PACKED[name]).view(dtype)
    numbers = torch.tensor([[0.5, 1.0, 2.0], [4.0, -8.0, 16.0]], dtype=torch.float64)
    if name in ("uint64", "uint32", "uint16", "uint8", "float8_e8m0fnu"):
        numbers = numbers.abs()
    if name in ("bool",):
        numbers = numbers > 1
    if name.startswith("complex"):
        numbers = torch.complex(numbers, -2 * numbers)
    if name == "complex32":
        return torch.view_as_complex(torch.view_as_real(numbers).to(torch.float16).contiguous())
    return numbers.to(dtype)


def dtypes(names):
    return collections.OrderedDict((name, of_dtype(name)) for name in names)


def views():
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    tied = torch.nn.Parameter(torch.tensor([[1.0, -1.0]]))
    state = collections.OrderedDict()
    state["whole"] = base
    state["transposed"] = base.t()
    state["row"] = base[1]
    state["column"] = base[:, 2]
    state["every_other"] = base[::2, ::2]
    state["expanded"] = torch.tensor([7.0]).expand(2, 3)
    state["scalar"] = torch.tensor(3.5)
    state["empty"] = torch.zeros(0, 5)
    state["empty_slice"] = base[3:]
    state["embedding.weight"] = tied
    state["decoder.weight"] = tied
    state._metadata = collections.OrderedDict([("", {"version": 1})])
    return state


def small():
    return collections.OrderedDict(
        [("model.bert.weight", torch.tensor([[1.0, 2.0], [3.0, 4.0]])), ("model.bias", torch.tensor([5.0]))]
    )


def plain_data():
    """Everything beside tensors that is data; the reader goes through all of it."""
    return {
        "none": None, "yes": True, "no": False, "small": 7, "medium": 300, "large": 70000, "minus": -5,
        "long": 1 << 40, "minus_long": -(1 << 40), "huge": 1 << 90, "float": 0.25, "text": "caf\u00e9 \u4e2d",
        "bytes": b"ab\xff", "no_bytes": b"", "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "list": list(range(5)), "dict": {"a": {"b": [1]}, 2: "two"}, "set": {1, 2}, "frozen": frozenset([3]),
        "ordered": collections.OrderedDict(a=1), "size": torch.Size([2, 3]), "dtype": torch.float16,
        "device": torch.device("cuda", 1), "storage": torch.tensor([1.0, 2.0]).untyped_storage(),
        "long_text": "x" * 300,
    }


def mmf():
    weights = small()
    return {
        "model": weights,
        "optimizer": {"state": {0: {"step": 3, "exp_avg": torch.ones(2, 2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "best_iteration": 0, "current_iteration": 6, "current_epoch": 2, "num_updates": 3, "best_update": 0,
        "best_metric_value": None, "fp16_scaler": None, "config": {"model": "visual_bert", "lr_steps": [1, 2]},
        "git/branch": "main",
    }


def lightning():
    weights = collections.OrderedDict(("module." + name, tensor) for name, tensor in small().items())
    return {
        "epoch": 4, "global_step": 12, "pytorch-lightning_version": "1.6.0", "state_dict": weights,
        "loops": {}, "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [], "lr_schedulers": [],
    }


def rewrite(source, target, change):
    """A copy of a zip file, stored; `change` maps (name, bytes) to the new bytes, or None to leave it out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(zipfile.ZipInfo(name), content)


class ViewPickler(pickle.Pickler):
    """Writes `Slice` objects as torch 0.4 to 1.5 wrote storages that are views of others."""

    def persistent_id(self, value):
        if not isinstance(value, Slice):
            return None
        return ("storage", torch.FloatStorage, "94", "cpu", 6, (str(95 + value.begin), value.begin, value.count))


class Slice:
    def __init__(self, begin, count):
        self.begin, self.count = begin, count


class Rebuilt:
    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return (torch._utils._rebuild_tensor_v2, self.arguments)


def write_legacy(path, value, storages, little_endian=True):
    stream = io.BytesIO()
    pickle.dump(MAGIC, stream, 2)
    pickle.dump(1001, stream, 2)
    sizes = {"short": 2, "int": 4, "long": 4}
    pickle.dump({"protocol_version": 1001, "little_endian": little_endian, "type_sizes": sizes}, stream, 2)
    ViewPickler(stream, 2).dump(value)
    pickle.dump(sorted(storages), stream, 2)
    for key in sorted(storages):
        stream.write(struct.pack("<q", len(storages[key])) + struct.pack(f"<{len(storages[key])}f", *storages[key]))
    path.write_bytes(stream.getvalue())


def write_hugging_face(folder):
    first = {"bert.weight": torch.tensor([[1.0, 2.0]])}
    second = {"bert.bias": torch.tensor([3.0]), "head.bias": torch.tensor([4.0])}
    for kind, pattern, save in (
        ("safetensors", "model-{}.safetensors", lambda value, path: save_file(value, path, {"format": "pt"})),
        ("bin", "pytorch_model-{}.bin", torch.save),
    ):
        target = folder / f"sharded_{kind}"
        target.mkdir(exist_ok=True)
        files = {pattern.format(f"0000{i}-of-00002"): part for i, part in ((1, first), (2, second))}
        for name, part in files.items():
            save(part, target / name)
        index = {
            "metadata": {"total_size": 16},
            "weight_map": {name: file for file, part in files.items() for name in part},
        }
        name = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}[kind] + ".index.json"
        (target / name).write_text(json.dumps(index, indent=1) + "\n")


def describe(tensor):
    name = str(tensor.dtype).removeprefix("torch.")
    plain = tensor.view(PACKED[name]) if name in PACKED else tensor
    wide = torch.view_as_real(plain.to(torch.complex128)) if plain.is_complex() else plain.to(torch.float64)
    return {
        "dtype": name,
        "shape": list(tensor.shape),
        "strides": list(tensor.stride()),
        "values": wide.detach().flatten().tolist(),
    }


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    old = [name for name in DTYPES if DTYPES.index(name) < 12]
    values = {}

    def save(name, value, **options):
        torch.save(value, folder / name, **options)
        weights = value.get("model", value.get("state_dict", value))
        values[name] = {key: describe(tensor) for key, tensor in weights.items()}

    legacy = {"_use_new_zipfile_serialization": False}
    save("dtypes.pt", dtypes(DTYPES + list(PACKED)))
    save("dtypes_legacy.pt", dtypes(old), **legacy)
    save("views.pt", views())
    save("views_legacy.pt", views(), **legacy)
    save("protocol_4.pt", views(), pickle_protocol=4)
    save("protocol_5_legacy.pt", views(), pickle_protocol=5, **legacy)
    save("mmf.pt", mmf())
    save("mmf_legacy.pt", mmf(), **legacy)
    save("lightning.ckpt", lightning())
    torch.save({"epoch": 3, "net": small(), "optimizer": {"state": {}}}, folder / "one_key.pt")
    values["one_key.pt"] = values["mmf.pt"]
    for protocol in (2, 3, 4, 5):
        torch.save({"model": small(), **plain_data()}, folder / f"plain_data_{protocol}.pt", pickle_protocol=protocol)
        values[f"plain_data_{protocol}.pt"] = values["mmf.pt"]
    torch.serialization.set_crc32_options(False)
    save("without_crc.pt", small())
    torch.serialization.set_crc32_options(True)

    hooks = collections.OrderedDict()
    write_legacy(
        folder / "storage_views_legacy.pt",
        {"a": Rebuilt(Slice(1, 4), 1, (2,), (2,), False, hooks), "b": Rebuilt(Slice(0, 6), 0, (6,), (1,), False, hooks)},
        {"94": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]},
    )
    loaded = torch.load(folder / "storage_views_legacy.pt", weights_only=True)
    values["storage_views_legacy.pt"] = {key: describe(tensor) for key, tensor in loaded.items()}
    rewrite(folder / "mmf.pt", folder / "torch_1_6.pt",
            lambda name, content: content if "data.pkl" in name or "/data/" in name or "version" == name[-7:] else None)
    values["torch_1_6.pt"] = values["mmf.pt"]

    # What is refused.
    refused = folder / "refused"
    refused.mkdir(exist_ok=True)
    rewrite(folder / "mmf.pt", refused / "big_endian.pt",
            lambda name, content: b"big" if name.endswith("byteorder") else content)
    write_legacy(refused / "big_endian_legacy.pt", {}, {}, little_endian=False)
    torch.save({"w": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, refused / "quantized.pt")
    torch.save({"w": torch.ones(2).to_sparse()}, refused / "sparse.pt")
    torch.save({"w": torch.ones(2, dtype=torch.complex64).conj()}, refused / "conjugated.pt")
    torch.save(torch.nn.Linear(1, 1), refused / "module.pt")
    torch.save({"net": small(), "ema": small(), 5: [1]}, refused / "unknown_layout.pt")
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(refused / "scripted.pt"))
    write_hugging_face(folder)
    (folder / "values.json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
