"""The structures and functions of `native.c`, as ctypes wants them."""

from ctypes import POINTER, Structure, c_float, c_int, c_int64, c_void_p

DEEPEST = 8


class Part(Structure):
    _fields_ = (("values", c_void_p), ("rows", c_void_p), ("width", c_int64))


class Weights(Structure):
    _fields_ = (
        ("packed", c_void_p),
        ("bias", c_void_p),
        ("scale", c_void_p),
        ("zero", c_void_p),
        ("inputs", c_int64),
        ("outputs", c_int64),
        ("range", c_float),
    )


class Cell(Structure):
    _fields_ = (("weights", POINTER(Weights)), ("gain", c_void_p), ("bias", c_void_p))


class Direction(Structure):
    _fields_ = (("inputs", POINTER(Weights)), ("cell", Cell))


class Bidirectional(Structure):
    _fields_ = (("directions", Direction * 2), ("scale", c_void_p), ("shift", c_void_p))


class Encoder(Structure):
    _fields_ = (("depth", c_int64), ("size", c_int64), ("residual", c_int64), ("layers", Bidirectional * DEEPEST))


class Attention(Structure):
    _fields_ = (
        ("heads", c_int64),
        ("size", c_int64),
        ("memory", c_int64),
        ("score", c_int64),
        ("energy", c_void_p),
        ("factor", c_float),
    )


class Layer(Structure):
    _fields_ = (("cell", Cell), ("table", c_void_p), ("scale", c_void_p), ("shift", c_void_p))


class Network(Structure):
    _fields_ = (
        ("wiring", c_int64),
        ("depth", c_int64),
        ("residual", c_int64),
        ("embedding", c_int64),
        ("size", c_int64),
        ("layers", Layer * DEEPEST),
        ("attention", Attention),
        ("query", POINTER(Weights)),
        ("readout", POINTER(Weights)),
        ("output", POINTER(Weights)),
    )


ARGUMENTS = {
    "product": (c_int64, POINTER(Weights), POINTER(Part), c_int, c_int, c_void_p),
    "encode": (POINTER(Encoder), *(c_int64,) * 2, *(c_void_p,) * 4),
    "decode_step": (POINTER(Network), *(c_int64,) * 4, *(c_void_p,) * 10),
    "best_extensions": (c_int64, c_int64, c_int64, *(c_void_p,) * 4),
}
