"""Measurements of speed and memory on this machine.

    python -m benchmarks feed       images a second: the input pipeline against constant tensors
    python -m benchmarks onednn     a training step and a prediction, with oneDNN and without
    python -m benchmarks page       how long the page takes to start, and its peak memory
    python -m benchmarks load       people who use the page at once, and a batch in the middle:
                                       --people 50 --minutes 10, --replicas 2 behind a proxy
    python -m benchmarks bulk       a folder of phantoms segmented by `train.py segment`, and the
                                       memory of all its processes: --images 10000 --workers 2
    python -m benchmarks peers      milliseconds an image beside other engines, same weights
    python -m benchmarks site       the page without a server: drop to outline, memory
    python -m benchmarks unfamiliar --weights weights/NAME --data DIR [--data DIR]
                                       the share of the data set's images, and of other pictures,
                                       warned of as unlike a breast ultrasound (scikit-image,
                                       scikit-learn, matplotlib, pydicom and others ship pictures:
                                       whatever is installed is tried)

Ratios are taken in one run, alternating; medians with the least and the greatest value.
"""
