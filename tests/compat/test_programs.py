"""Programs written for PyTorch, run by ``python -m clgrad.compat`` in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import clgrad

TRAINING = """
    import sys
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    import torch.optim as optim
    from torch.optim.lr_scheduler import StepLR
    from torch.nn.modules.conv import Conv2d
    from torch.nn.modules.batchnorm import BatchNorm2d
    from torch.utils.data import DataLoader, TensorDataset
    from torch.utils.data.dataset import Dataset
    from torch.autograd import Variable

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 3)
        def forward(self, x):
            return F.log_softmax(self.fc(x), dim=1)

    assert Conv2d is nn.Conv2d and BatchNorm2d is nn.BatchNorm2d and issubclass(TensorDataset, Dataset)
    torch.manual_seed(int(sys.argv[1]))
    x = torch.randn(32, 4)
    y = x.argmax(1).clamp(max=2)
    net = Net()
    optimizer = optim.SGD(net.parameters(), lr=0.5)
    scheduler = StepLR(optimizer, 1)
    first = F.nll_loss(net(x), y).item()
    for data, target in DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True):
        optimizer.zero_grad()
        F.nll_loss(net(Variable(data)), target).backward()
        optimizer.step()
    scheduler.step()
    assert F.nll_loss(net(x), y).item() < first
    print(__name__, sys.argv, torch.__name__, type(x).__module__, torch.version.cuda, "clgrad" in torch.__file__)
    """


def run(tmp_path, program, *arguments, before=("-m", "clgrad.compat")):
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(program))
    return started(*before, str(file), *arguments)


def started(*arguments):
    """A process of this interpreter that finds this clgrad, from wherever it was imported."""
    environment = {**os.environ, "PYTHONPATH": str(Path(clgrad.__file__).parent.parent)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, env=environment)


def test_a_training_program(tmp_path):
    done = run(tmp_path, TRAINING, "3", "--flag")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["__main__", f"['{tmp_path}/program.py',", "'3',", "'--flag']", "torch", "torch",
                                   "None", "True"]


def test_what_is_missing_says_so_and_never_reaches_pytorch(tmp_path):
    done = run(tmp_path, """
        import importlib.util, sys
        import torch
        for name in ("torch.export", "torch._inductor.codecache", "torch.nowhere", "torch.nn.modules.nowhere"):
            try:
                __import__(name)
            except ModuleNotFoundError as error:
                print(error)
        for get in (lambda: torch.export.export, lambda: torch.nowhere):
            try:
                get()
            except AttributeError as error:
                print(error)
        assert torch.distributed.is_available() and torch.distributed.is_gloo_available()
        assert torch.jit.script(len) is len
        assert torch.__version__.startswith("2.") and importlib.util.find_spec("torch")
        assert sys.modules["clgrad.nn"].__spec__.name == "clgrad.nn"
        import torch.nn, clgrad.nn
        assert torch.nn is clgrad.nn and clgrad.nn.__spec__.name == "clgrad.nn" and torch.jit is clgrad.jit
        """)
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "clgrad has no torch.export", "clgrad has no torch._inductor.codecache", "clgrad has no torch.nowhere",
        "clgrad has no torch.nn.modules.nowhere", "clgrad has no torch.export", "clgrad has no torch.nowhere"]


def test_processes_that_a_program_starts(tmp_path):
    done = run(tmp_path, """
        import subprocess, sys
        import torch
        import torch.multiprocessing as mp

        class Net(torch.nn.Module):
            pass

        def work(rank, queue):
            import torch
            queue.put((rank, "clgrad" in torch.nn.__file__, torch.nn.Module.__module__, Net.__module__))

        if __name__ == "__main__":
            mp.set_start_method("spawn", force=True)
            torch.ones(2).add_(1).tolist()
            queue = mp.SimpleQueue()
            mp.spawn(work, args=(queue,), nprocs=1)
            print(queue.get())
            looked = "import torch; print('clgrad' in torch.__file__)"
            print(subprocess.check_output([sys.executable, "-c", looked], text=True))
        """)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["(0, True, 'torch.nn.modules.module', '__mp_main__')", "True"]


def test_install_in_a_program(tmp_path):
    program = "import clgrad.compat\nclgrad.compat.install()\nclgrad.compat.install()\nimport torch\nprint(torch.ones(1))\n"
    done = run(tmp_path, program, before=())
    assert (done.returncode, done.stdout) == (0, "tensor([1.])\n"), done.stderr


@pytest.mark.parametrize(("arguments", "status", "words"), [
    ([], 2, "usage"), (["nowhere.py"], 2, "no file nowhere.py"), (["-m"], 2, "usage"), (["-m", "this"], 0, "")])
def test_command_line(arguments, status, words):
    done = started("-m", "clgrad.compat", *arguments)
    assert done.returncode == status and words in done.stderr


def test_pytorch_that_is_loaded_already(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("")
    done = run(tmp_path, "import torch, clgrad.compat\nclgrad.compat.install()\n", before=())
    assert "torch has been imported already" in done.stderr


def test_modules_that_programs_import(tmp_path):
    done = run(tmp_path, """
        from torch.autograd.profiler import record_function
        from torch.autograd.variable import Variable
        from torch.cuda.amp import GradScaler, autocast
        from torch.nn.modules.utils import _pair, _single
        from torch.nn.parallel import DistributedDataParallel
        from torch.utils.data.dataloader import default_collate
        from torch.utils.data.distributed import DistributedSampler
        from torch.utils.model_zoo import load_url
        from torch.utils.tensorboard import SummaryWriter
        from torchvision.datasets.folder import default_loader
        from torchvision.datasets.mnist import MNIST
        from torchvision.models.resnet import BasicBlock
        from torchvision.transforms.v2 import functional
        import torch, torchvision
        import torchvision.transforms.functional as F
        assert _pair(3) == (3, 3) and torchvision.models.resnet18 and F.to_tensor
        torch.distributed.init_process_group("gloo", init_method="tcp://localhost:1", rank=0, world_size=1)
        net = DistributedDataParallel(torch.nn.Linear(1, 1))
        net(torch.ones(2, 1)).sum().backward()
        assert set(net.state_dict()) == {"module.weight", "module.bias"} and net.module.bias.grad.item() == 2
        # What a statement ``import torch.x.y`` would find is there without it.
        assert torch.distributions.normal.Normal is torch.distributions.Normal
        assert torch.utils.hooks.RemovableHandle and torch.__config__.show() and torch.torch is torch
        from torch.nn.modules.module import _IncompatibleKeys
        from torch.utils._pytree import tree_map
        try:
            torch.distributed.init_process_group("gloo", rank=0, world_size=2)
        except ValueError as error:
            print(error)
        torch.distributed.destroy_process_group()
        """)
    assert done.returncode == 0, done.stderr
    assert "twice" in done.stdout


def test_a_launcher_starts_programs_in_which_torch_is_clgrad(tmp_path):
    (tmp_path / "program.py").write_text(textwrap.dedent("""
        import os, sys
        import torch
        import torch.distributed as dist
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        x = torch.ones(2) * (dist.get_rank() + 1)
        dist.all_reduce(x)
        assert torch.__file__ is None or "clgrad" in torch.__file__
        print(f"{x.tolist()} {os.environ['LOCAL_RANK']} {os.environ['WORLD_SIZE']} {sys.argv[1:]}\\n", end="")
        if sys.argv[1:] == ["fail"] and dist.get_rank() == 1:
            os._exit(7)
        dist.barrier()
        dist.destroy_process_group()
        """))
    for options, argument in ((["--standalone", "--nproc-per-node=2"], "well"),
                              (["--nproc_per_node", "2", "--master_port=0"], "fail")):
        done = subprocess.run([sys.executable, "-m", "clgrad.compat", "-m", "torch.distributed.run", *options, "program.py",
                               argument], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert {f"[3.0, 3.0] {rank} 2 ['{argument}']" for rank in range(2)} <= set(done.stdout.splitlines()), done.stderr
        if argument == "well":
            assert done.returncode == 0, done.stderr
        else:
            assert done.returncode == 7 and "rank 1 (local_rank 1, pid" in done.stderr and "exit code 7" in done.stderr


def test_an_import_of_a_module_does_not_hide_the_function_of_its_name(tmp_path):
    assert run(tmp_path, """
        import torch
        from torch.autograd.gradcheck import GradcheckError
        import torch.nn.utils.weight_norm, torch.nn.utils.spectral_norm
        print(all(callable(f) for f in (torch.autograd.gradcheck, torch.nn.utils.weight_norm, torch.nn.utils.spectral_norm)))
    """).stdout.split() == ["True"]
