from dpgen.accountants.base import Accountant as Accountant
from dpgen.accountants.base import Bound as Bound
from dpgen.budget import ADD_OR_REMOVE_ONE as ADD_OR_REMOVE_ONE
from dpgen.budget import REPLACE_ONE as REPLACE_ONE
from dpgen.budget import Budget as Budget
from dpgen.budget import Charge as Charge
from dpgen.budget import Guarantee as Guarantee
from dpgen.budget import NeighboringRelation as NeighboringRelation
from dpgen.budget import Plan as Plan
from dpgen.data.datasets import PrivateDataset as PrivateDataset
from dpgen.data.datasets import PublicDataset as PublicDataset
from dpgen.data.datasets import SyntheticDataset as SyntheticDataset
from dpgen.data.info import DatasetInfo as DatasetInfo
from dpgen.data.info import Shape as Shape
from dpgen.data.info import Unit as Unit
from dpgen.errors import DpgenError as DpgenError
from dpgen.events import DpEvent as DpEvent
from dpgen.generators.base import Generator as Generator
from dpgen.generators.base import GeneratorConfig as GeneratorConfig
from dpgen.generators.base import PublicInfo as PublicInfo
from dpgen.generators.base import Tags as Tags
from dpgen.generators.base import Task as Task
from dpgen.mechanisms.base import Mechanism as Mechanism
from dpgen.mechanisms.base import Records as Records
from dpgen.mechanisms.context import RunContext as RunContext
from dpgen.plugins.hookspecs import hookimpl as hookimpl
from dpgen.plugins.registry import Registry as Registry
from dpgen.plugins.registry import default_registry as default_registry

__version__: str
API_VERSION: int
