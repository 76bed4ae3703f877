"""Medical words of English, cut into their morphemes by hand.

Each line holds an ending and the stems that it follows; a stem may be several morphemes. All words
that the lines spell are in use.
"""

from __future__ import annotations

_LINES = """
itis: arthr gastr hepat nephr bronch dermat neur phleb arter cyst col enter ot rhin tonsill \
    append|ic sinus laryng pharyng mening encephal pancreat conjunctiv gingiv prostat thyroid \
    periton tendin burs vascul cellul ureth|r cholecyst oste|o|myel peri|card endo|card \
    gastr|o|enter rhin|o|sinus poly|arthr oste|o|arthr myo|card tracheo|bronch kerat uve
ectomy: append gastr nephr hyster mast tonsill splen thyroid lob col prostat oophor cholecyst \
    lumb pancreat thym adren|al hemi|col para|thyroid end|arter lamin vas vitr embol hemorrhoid
otomy: trache lapar thorac crani phleb oste my cyst hyster
ostomy: trache col ile gastr jejun nephr cyst
osis: fibr cirrh necr scler thromb nephr steat dermat kyph sten psych neur cyan tubercul \
    ather|o|scler arteri|o|scler oste|o|por endo|metri leuko|cyt phago|cyt diverticul amyloid \
    acid alkal spondyl brucell histo|plasm toxo|plasm sarc|oid hyper|hidr
oma: carcin sarc lymph melan gli neur aden fibr lip hemat oste my angi hemangi papill \
    neur|o|blast retin|o|blast nephr|o|blast lei|o|my rhabd|o|my mening oste|o|sarc \
    aden|o|carcin mes|o|theli granul
ology: cardi neur derm|at hemat onc gastr|o|enter path psych rad|i ur immun \
    gynec ophthalm ot|o|laryng pharmac toxic epi|demi endo|crin nephr rheumat bacteri vir \
    cyt hist physi eti bi micr|o|bi neur|o|bi
opathy: neur my cardi|o|my nephr retin encephal enter arthr lymph|aden coagul angi oste \
    poly|neur hepat dermat
algia: neur my arthr ot gastr cephal fibr|o|my
emia: an leuk hyper|glyc hypo|glyc isch septic hyper|lipid hyper|kal hypo|kal hypo|natr \
    hyper|natr bacter ur tox vir thalass poly|cyth
uria: hemat protein glycos olig poly dys an py ket|on albumin noct
oscopy: gastr bronch end lapar arthr cyst laryng hyster ot ophthalm sigmoid
ography: radi angi mamm ultra|son tom arteri electr|o|cardi electr|o|encephal echo|cardi ven \
    lymph electr|o|my
ogram: electr|o|cardi angi mamm son arteri electr|o|encephal ven my
oplasty: rhin arthr angi mamm bleph|ar valvul ot cheil
opathic: idi neur home oste psych
megaly: hepat|o splen|o cardi|o acr|o hepat|o|splen|o
penia: leuk|o thromb|o|cyt|o neutr|o oste|o lymph|o|cyt|o pan|cyt|o
cyte: erythr|o leuk|o lymph|o thromb|o oste|o hepat|o melan|o mon|o astr|o
plegia: hemi para quadri ophthalm|o
phobia: photo claustr|o agora hydro
rrhea: dia a|meno gon|o rhin|o dys|meno steat|o sebo
pnea: dys a tachy brady ortho hyper
trophy: hyper a dys
cardia: tachy brady dextro
tension: hyper hypo
thermia: hyper hypo
plasia: hyper dys a neo ana
phagia: dys poly
"""


def _words() -> tuple[tuple[str, ...], ...]:
    found: dict[str, tuple[str, ...]] = {}
    for line in _LINES.replace("\\\n", "").strip().splitlines():
        ending, _, stems = line.partition(":")
        for stem in stems.split():
            pieces = (*stem.split("|"), ending)
            found["".join(pieces)] = pieces
    return tuple(found.values())


WORDS = _words()
"""The morphemes of each word; joined, they are the word."""
