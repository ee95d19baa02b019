"""The machine whose collisions are decided on.

References:
    O. Bruening et al. (eds.), LHC Design Report, vol. 1, CERN-2004-003, doi:10.5170/CERN-2004-003-V-1, chapter 2.
"""

from __future__ import annotations

CROSSING_RATE_HZ = 40.0789e6
"""Rate at which bunches can cross: a tenth of the 400.789 MHz of the accelerating field."""
CROSSING_NS = 1e9 / CROSSING_RATE_HZ
"""Time between two bunch crossings, 24.951 ns."""
REVOLUTION_HZ = 11245.5
"""Rate at which one bunch comes round: the field's 400.789 MHz over its 35640 periods a turn."""
BUNCH_SLOTS = 3564
"""Places for bunches in one turn, 24.951 ns apart; not all can be filled."""
FILLED_BUNCHES = 2340
"""Pairs of bunches that collide at IP1 and IP5 in the filling scheme `25ns_2352b_2340_2004_2133` of 2024; by the others
of Runs 2 and 3, and those planned for the HL-LHC (2748), it is some 2,200 to 2,750."""
INELASTIC_PB = 78.0e9
"""Cross-section of inelastic proton-proton collisions at 13 TeV in pb, as Pythia 8.3 has it; measured: 79.5 +- 1.8 mb (TOTEM,
arXiv:1712.06153)."""
