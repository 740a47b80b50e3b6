import os

print("a last word", flush=True)
os._exit(9)
