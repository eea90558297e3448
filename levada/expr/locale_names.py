"""Names of months and days for date patterns, in the languages that are asked for most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from levada.expr.errors import ExpressionError


@dataclass(frozen=True, slots=True)
class Names:
    """Months from January, days from Monday, and the two halves of the day."""

    months: tuple[str, ...]
    short_months: tuple[str, ...]
    days: tuple[str, ...]
    short_days: tuple[str, ...]
    halves: tuple[str, str] = ("AM", "PM")

    def half(self, hour: int) -> str:
        """Return the half of the day that an hour (0 to 23) belongs to."""
        return self.halves[hour >= 12]


def _names(months: str, short_months: str, days: str, short_days: str) -> Names:
    made = Names(tuple(months.split()), tuple(short_months.split()), tuple(days.split()), tuple(short_days.split()))
    assert len(made.months) == len(made.short_months) == 12
    assert len(made.days) == len(made.short_days) == 7
    return made


_TABLE: Final = {
    "en": _names(
        "January February March April May June July August September October November December",
        "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "Mon Tue Wed Thu Fri Sat Sun",
    ),
    "fr": _names(
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
        "lundi mardi mercredi jeudi vendredi samedi dimanche",
        "lun. mar. mer. jeu. ven. sam. dim.",
    ),
    "de": _names(
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez.",
        "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
        "Mo. Di. Mi. Do. Fr. Sa. So.",
    ),
    "es": _names(
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "ene feb mar abr may jun jul ago sept oct nov dic",
        "lunes martes miércoles jueves viernes sábado domingo",
        "lun mar mié jue vie sáb dom",
    ),
    "it": _names(
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "gen feb mar apr mag giu lug ago set ott nov dic",
        "lunedì martedì mercoledì giovedì venerdì sabato domenica",
        "lun mar mer gio ven sab dom",
    ),
    "pt": _names(
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "jan. fev. mar. abr. mai. jun. jul. ago. set. out. nov. dez.",
        "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
        "seg. ter. qua. qui. sex. sáb. dom.",
    ),
    "nl": _names(
        "januari februari maart april mei juni juli augustus september oktober november december",
        "jan. feb. mrt. apr. mei jun. jul. aug. sep. okt. nov. dec.",
        "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
        "ma di wo do vr za zo",
    ),
}
DAY_NAMES: Final = tuple(name.upper() for name in _TABLE["en"].days)


def names_of(locale: str | None) -> Names:
    """Return the names for a locale such as `fr` or `fr_FR`; English for None. Raises ExpressionError for unknown ones."""
    if locale is None:
        return _TABLE["en"]
    names = _TABLE.get(locale.replace("-", "_").partition("_")[0].lower())
    if names is None:
        raise ExpressionError(f"the locale `{locale[:20]}` is not known; known are {', '.join(sorted(_TABLE))}")
    return names
