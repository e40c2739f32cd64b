"""French: titles and descriptions of the examples."""

EXAMPLES = {
    "Cat": "Chat",
    "A tabby cat that looks at the camera": "Un chat tigré qui regarde l'objectif",
    "Lizard": "Lézard",
    "A lizard on a branch": "Un lézard sur une branche",
    "Coffee": "Café",
    "A cup of coffee on a red saucer": "Une tasse de café sur une soucoupe rouge",
    "Cameraman": "Caméraman",
    "A man behind a camera on a tripod, in black and white": (
        "Un homme derrière une caméra sur un trépied, en noir et blanc"
    ),
    "Astronaut": "Astronaute",
    "Hens (it fails)": "Poules (il échoue)",
    "Four brown hens on a lawn": "Quatre poules brunes sur une pelouse",
    "Northern lights": "Aurore boréale",
    "A drawn ambulance under northern lights": "Une ambulance dessinée sous une aurore boréale",
    "Whale in the city": "Baleine en ville",
    "A drawn glass of wine and a drawn whale on a city street": (
        "Un verre de vin et une baleine dessinés dans une rue"
    ),
    "An astronaut's portrait in front of a flag and a model of a shuttle": (
        "Le portrait d'une astronaute devant un drapeau et une maquette de navette"
    ),
    "Helicopter in the rain": "Hélicoptère sous la pluie",
    "A helicopter flies by while rain falls": "Un hélicoptère passe tandis que la pluie tombe",
    "Steam in the wind": "Vapeur dans le vent",
    "Steam hisses while wind blows": "De la vapeur siffle tandis que le vent souffle",
    "Banjo by the fire": "Banjo au coin du feu",
    "A banjo plays a fast tune while a fire crackles": "Un banjo joue un air rapide tandis qu'un feu crépite",
    "Rooster in the wind": "Coq dans le vent",
    "A rooster crows twice while wind blows": "Un coq chante deux fois tandis que le vent souffle",
    "French in a workshop": "Du français à l'atelier",
    "A woman speaks French while machines hum": "Une femme parle français tandis que des machines ronronnent",
    "Songbird": "Oiseau chanteur",
    "A songbird sings": "Un oiseau chante",
    "Music box in the woods": "Boîte à musique dans les bois",
    "A music box plays a slow tune while birds chirp": (
        "Une boîte à musique joue un air lent tandis que des oiseaux pépient"
    ),
    "Applause in the wind": "Applaudissements dans le vent",
    "People applaud while wind blows": "Des gens applaudissent tandis que le vent souffle",
    "A tune, then French": "Un air, puis du français",
    "A guitar plays a slow tune, then a woman speaks French": (
        "Une guitare joue un air lent, puis une femme parle français"
    ),
    "Drums": "Batterie",
    "Drums play": "Une batterie joue",
}
