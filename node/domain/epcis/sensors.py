"""The words of a sensor report: GS1 Web Vocabulary, as EPCIS 2.0's JSON Schema has them."""

from __future__ import annotations

import re

from node.domain.epcis.vocabulary import is_uri

_MEASUREMENTS = (
    "AbsoluteHumidity AbsorbedDose AbsorbedDoseRate Acceleration Radioactivity Altitude AmountOfSubstance "
    "AmountOfSubstancePerUnitVolume Angle AngularAcceleration AngularMomentum AngularVelocity Area Capacitance "
    "Conductance Conductivity Count Density Dimensionless DoseEquivalent DoseEquivalentRate DynamicViscosity "
    "ElectricCharge ElectricCurrent ElectricCurrentDensity ElectricFieldStrength Energy Exposure Force Frequency "
    "Illuminance Inductance Irradiance KinematicViscosity Length LinearMomentum Luminance LuminousFlux "
    "LuminousIntensity MagneticFlux MagneticFluxDensity MagneticVectorPotential Mass MassConcentration "
    "MassFlowRate MassPerAreaTime MemoryCapacity MolalityOfSolute MolarEnergy MolarMass MolarVolume Power "
    "Pressure RadiantFlux RadiantIntensity RelativeHumidity Resistance Resistivity SolidAngle SpecificVolume "
    "Speed SurfaceDensity SurfaceTension Temperature Time Torque Voltage Volume VolumeFlowRate VolumeFraction "
    "VolumetricFlux Wavenumber"
)
MEASUREMENTS = frozenset(_MEASUREMENTS.split())
_COMPONENTS = (
    "x y z axial_distance azimuth height spherical_radius polar_angle elevation_angle easting northing latitude "
    "longitude altitude"
)
COMPONENTS = frozenset(_COMPONENTS.split())
ALERTS = frozenset(("ALARM_CONDITION", "ERROR_CONDITION"))


def is_word(words: frozenset[str], text: str) -> bool:
    """Whether this is one of the words, or the URI of another that does not claim to be GS1's."""
    own = is_uri(text) and not re.match(
        r"urn:epcglobal:cbv|https?://(?:www\.)?gs1\.org/voc/|https?://ns\.gs1\.org/cbv/", text
    )
    return text in words or own
