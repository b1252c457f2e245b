"""Exercises: eight functions that a reader writes, and a referee that says what is wrong with them, where, and why."""

from convnet.exercises.exercise import Case, Exercise, Mistake
from convnet.exercises.judge import Judgement, judge
from convnet.exercises.table import EXERCISES
from convnet.exercises.told import in_a_word, told
from convnet.exercises.written import function_in

__all__ = ["EXERCISES", "Case", "Exercise", "Judgement", "Mistake", "function_in", "in_a_word", "judge", "told"]
