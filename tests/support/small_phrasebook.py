"""A phrasebook of three sentences and three nouns."""

SMALL = {
    "source": "fr",
    "target": "en",
    "numbers": {"deux": "two"},
    "sizes": [[["énorme", "énormes", "énorme", "énormes"], "enormous"]],
    "where": {"à gauche": "on the left", "au milieu": "in the middle"},
    "places": {"sur une plage": "on a beach", "une plage": "a beach"},
    "prepositions": {"sur": "on", "dans": "in"},
    "place_nouns": {"une plage": "a beach", "un pré": "a meadow"},
    "sentences": [
        ["{place}, {a} {a.stands} {a.where}.", "{place}, {a} {a.be} {a.where}."],
        ["il y a {b} à droite {a.of}.", "there {b.be} {b} to the right of {a}."],
        ["voici {place_noun} avec {a} {a.where}.", "this is {place_noun} with {a} {a.where}."],
    ],
    "nouns": [
        ["chat", "chats", "m", "a", "cat", "cats"],
        ["pomme", "pommes", "f", "an", "apple", "apples"],
        ["mouton", "moutons", "m", "a", "sheep", "sheep"],
    ],
}
