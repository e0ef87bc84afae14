"""Networks that others trained, read into a small graph and lowered to a `BinaryNet`.

A reader for each kind of file (`onnx_file`, `keras_file`, `finn_arrays`, `finn_folder`) and one for
torch modules (`torch_module`) give a `Graph`. `lower` walks it, operator by operator: `first_layer`
reads the input, `layers` convolutions and dense layers, `thresholds` what lies between sums and
bits, `pooling` pools, `scores` the end. `evaluate` computes a graph in numpy, with the operators of
`operators`: `lowered` keeps the graph beside the network, which is checked against it.
"""
