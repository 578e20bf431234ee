"""Which packages the wheel holds: dmt_ray, and in it the questions that lie at the top of the repository."""

from setuptools import find_packages, setup

QUESTIONS = {"dmt_ray.searches": "searches", "dmt_ray.ablations": "ablations"}

setup(packages=[*find_packages(include=["dmt_ray*"]), *QUESTIONS], package_dir=QUESTIONS)
