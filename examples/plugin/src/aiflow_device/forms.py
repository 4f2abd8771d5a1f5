"""Fractions as text: anybody can read them, and loading them runs no code."""

from fractions import Fraction


class Fractions:
    name = "fraction"  # stands in the column `codec`; what is stored is read by whoever has this name

    def handles(self, value):
        return type(value) is Fraction

    def dump(self, value, file):
        file.write(str(value).encode())

    def load(self, file):
        return Fraction(file.read().decode())
