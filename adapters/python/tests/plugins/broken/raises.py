def boom():
    raise OSError("libvendor.so.1: cannot open shared object file")


boom()
