"""Tests of the engines that ship."""
