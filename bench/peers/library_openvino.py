"""OpenVINO's CPU plugin: models of one operator, in float32."""
import numpy as np
import openvino
from openvino import opset13 as opset


def version():
    return "OpenVINO " + openvino.__version__.split("-")[0]


def compiled(result, parameters, threads):
    model = openvino.Model([result], parameters)
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    return openvino.Core().compile_model(model, "CPU", settings).create_infer_request()


def prepare(case, inputs, threads):
    arrays = [inputs[name] for name in (("q", "k", "v") if case["operation"] == "attention" else inputs)]
    parameters = [opset.parameter(array.shape, np.float32) for array in arrays]
    if case["operation"] == "softmax":
        result = opset.softmax(parameters[0], -1)
    elif case["operation"] == "attention" and case["heads"] == case["kv_heads"]:
        result = opset.scaled_dot_product_attention(*parameters, causal=case["causal"])
    else:
        raise NotImplementedError("not in its operator set")
    request = compiled(result, parameters, threads)
    for index, array in enumerate(arrays):
        request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))

    def call(keep=arrays):
        request.infer()
        return request.get_output_tensor().data
    return call
