"""oneDNN: its softmax, and attention as its users put it together (onednn.cpp)."""
import native

library = native.build("onednn.cpp", "SOFTATTN_ONEDNN", ["dnnl"])


def version():
    return library.peer_version().decode()


def prepare(case, inputs, threads):
    return native.prepare(library, case, inputs)
