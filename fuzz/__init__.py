"""Fuzzing: random tables, bundles, images and command lines, and what must hold whatever they are.

    python -m fuzz --minutes 20                  all areas, seeds from one that is printed
    python -m fuzz --minutes 20 --resume FILE    goes on where FILE says that an earlier run stopped
    python -m fuzz --area tables --seed 123      one case once more, with all that it prints

An area is a module with `LIMITS`, `ready(seed)`, which makes what its cases start from, and
`case(rng, folder)`, which raises for what must not be: nothing but an UnseenError may come out of
the package, whatever goes in."""
