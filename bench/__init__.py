"""Benchmarks: `python -m bench` lists what can be measured, `python -m bench NAME` measures it.

data: where data sets lie. runs: stored, resumed, each in a process that can be killed.
peers: methods of other libraries. studies: a file for each question. pages: tables and plots.
"""
