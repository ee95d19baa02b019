"""The machine whose collisions are decided on.

References:
    O. Bruening et al. (eds.), LHC Design Report, vol. 1, CERN-2004-003, doi:10.5170/CERN-2004-003-V-1, chapter 2.
"""

from __future__ import annotations

CROSSING_RATE_HZ = 40.0789e6
"""Rate at which bunches can cross: a tenth of the 400.789 MHz of the accelerating field."""
CROSSING_NS = 1e9 / CROSSING_RATE_HZ
"""Time between two bunch crossings, 24.951 ns."""
