"""Noisy class means, as a plugin of dpgen."""

import dpgen


@dpgen.hookimpl
def dpgen_register_generators():
    from dpgen_blur.model import Blur

    return [Blur]


@dpgen.hookimpl
def dpgen_register_mechanisms():
    from dpgen_blur.ink import InkCounts

    return [InkCounts]


@dpgen.hookimpl
def dpgen_register_accountants():
    from dpgen_blur.zcdp import ZcdpAccountant

    return [ZcdpAccountant]


@dpgen.hookimpl
def dpgen_conformance_examples(info):
    from dpgen_blur.ink import InkCounts

    return [InkCounts(info=info, scale=2.0)]
