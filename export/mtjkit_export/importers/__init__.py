"""Networks that others trained, read into a small graph and lowered to a `BinaryNet`.

A reader for each kind of file (`onnx_file`, `keras_file`, `finn_arrays`) and one for torch modules
(`torch_module`) give a `Graph`. `lower` turns it into a network that computes the same bits.
`operators` evaluates it in numpy, which is what the network is checked against.
"""
