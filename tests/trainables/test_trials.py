import sys, trainables
def test_a(): print(sys.path, trainables.__path__, sys.meta_path); assert 0
