"""The contracts of methods and data sets, as checks that other packages can call; the tests here call the same ones.

`check_method(f)` and `check_dataset(data)` raise ContractBroken, an AssertionError whose message says what to change::

    from dmt_ray.testing import check_method

    def test_my_method_keeps_the_contract():
        check_method(my_method)
"""

from dmt_ray.testing.contract import ContractBroken
from dmt_ray.testing.data_sets import check_contents, check_dataset
from dmt_ray.testing.methods import check_method, check_plan

__all__ = ["ContractBroken", "check_contents", "check_dataset", "check_method", "check_plan"]
