"""The tables of sounds: hand-checked rules, and errors that name the row."""

from collections import Counter

import pytest

from tests.support.csv_tables import with_changed_row
from training.embedded.audio.captions.parser import clause_forms, words
from training.embedded.audio.world.lexicon import (
    FAMILIES_CSV,
    LEXICON_CSV,
    PLACES_CSV,
    SILENCE,
    LexiconError,
    load_lexicon,
    read_lexicon,
)
from training.embedded.audio.world.moods import MOOD_WORDS, STRONGEST_FIRST

LEXICON = load_lexicon()
# Plural subjects and their verbs: the only ones whose third person has no -s.
PLURAL = {"people", "fireworks", "swords", "rocks", "coins", "castanets", "maracas", "drums", "bongos", "bagpipes"}
PLURAL |= {"birds", "crickets", "waves", "machines"}


def test_there_are_sounds_of_every_kind():
    kinds = Counter(sound.kind for sound in LEXICON.sounds.values())
    assert kinds["event"] >= 100 and kinds["music"] >= 20 and kinds["speech"] == 4 and kinds["background"] == 10
    assert len(LEXICON.events) == sum(kinds.values()) - kinds["background"]


@pytest.mark.parametrize("sound", LEXICON.sounds.values(), ids=lambda sound: sound.id)
def test_english_verbs_agree_with_their_subject(sound):
    subject, verb = sound.clause.en, sound.clause.verb.split()[0]
    assert verb.endswith("s") != (subject in PLURAL), f"{subject} {verb}"
    article = subject.split()[0]
    if article in ("a", "an"):
        assert (article == "an") == (subject.split()[1][0] in "aeio"), subject


@pytest.mark.parametrize("sound", LEXICON.sounds.values(), ids=lambda sound: sound.id)
def test_french_verbs_agree_with_their_subject(sound):
    subject, verb = sound.clause.fr, sound.clause.verbe
    plural = subject.startswith("des ")
    first = verb.split()[1] if verb.startswith(("se ", "s'")) and " " in verb else verb.split()[0]
    assert first.removeprefix("s'").endswith("nt") == plural, f"{subject} {verb}"
    assert subject.split()[0] in ("un", "une", "des", "le", "la", "de", "du") or subject.startswith(
        ("l'", "quelqu", "quelque")
    )


# Gender of every French noun with an indefinite article, checked by hand once more.
FEMININE = set(
    words(
        """
    vache chèvre bête otarie poule oie mouette abeille femme hache porte
    caisse machine imprimante scie tronçonneuse perceuse voiture moto sirène alarme cloche
    cymbale batterie guitare basse harpe trompette clarinette flûte cornemuse boîte grenouille
    chasse
        """
    )
)


def test_french_articles_have_the_gender_of_their_noun():
    for sound in LEXICON.sounds.values():
        article, _, rest = sound.clause.fr.partition(" ")
        if article in ("un", "une") and sound.id != "songbird":
            assert (article == "une") == (rest.split()[0] in FEMININE), sound.clause.fr


def test_no_two_sounds_read_alike():
    for language in ("en", "fr"):
        forms = [form for sound in LEXICON.sounds.values() for form in clause_forms(sound.clause, language)]
        clauses = [family.clause for family in LEXICON.families.values() if family.clause]
        forms += [form for clause in clauses for form in clause_forms(clause, language)]
        assert len(set(forms)) == len(forms)


def test_moods_and_settings_share_no_word():
    adjectives = [word for some in MOOD_WORDS.values() for word in some]
    assert len(set(adjectives)) == len(adjectives) == 3 * len(STRONGEST_FIRST) and set(MOOD_WORDS) == set(
        STRONGEST_FIRST
    )
    phrases = [phrase for place in LEXICON.places.values() for phrase in (place.en, place.en_alt)]
    assert len(set(phrases)) == len(phrases)
    assert not set(adjectives) & {word for phrase in phrases for word in words(phrase)}
    assert set(LEXICON.places) == {*LEXICON.backgrounds, SILENCE}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "noise"}, "unknown kind"),
        ({"mood": "sad"}, "unknown mood"),
        ({"kind": "music", "shape": "short"}, "only events are short"),
        ({"family": "plants"}, "unknown family 'plants'"),
        ({"ing": "barks"}, "no -ing form"),
        ({"verb": " barks"}, "single-spaced"),
        ({"id": "Dog"}, "snake case"),
    ],
)
def test_a_broken_row_is_named(tmp_path, change, message):
    with pytest.raises(LexiconError, match=message):
        read_lexicon(with_changed_row(LEXICON_CSV, tmp_path, change), FAMILIES_CSV, PLACES_CSV)


def test_a_clause_used_twice_is_refused(tmp_path):
    text = LEXICON_CSV.read_text(encoding="utf-8")
    broken = tmp_path / "lexicon.csv"
    broken.write_text(text + text.splitlines()[1].replace("dog,", "hound,", 1) + "\n", encoding="utf-8")
    with pytest.raises(LexiconError, match="used by both 'dog' and 'hound'"):
        read_lexicon(broken, FAMILIES_CSV, PLACES_CSV)
