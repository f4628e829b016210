"""The path with the decider and the comparator of the product: nothing is answered until enough was seen, then much is,
and rightly.
"""

import random
from typing import Any

from tenfold.cache.semantic.comparator import compare
from tenfold.cache.semantic.scope import Scope
from tests.inference.semantic.world import Answering, SemanticWorld, layer

TOPICS = ("refund", "delivery", "password", "invoice")
ENDS = ("please", "now", "today", "soon", "thanks", "again", "quickly", "there")


class ByTopic(Answering):
    def _text(self, _asked: dict[str, Any]) -> str:
        return _right(self.asked[-1])


def _right(question: str) -> str:
    topic = question.partition(" ")[0]
    return f"For the {topic} open the page of the {topic}, follow its steps, and wait for the mail."


async def test_a_scope_earns_its_answers() -> None:
    rnd = random.Random(7)
    world = SemanticWorld(
        ByTopic(),
        make=lambda: Scope(max_false_hits=0.1, check_share=0.05, warm_up=20),
        compare=compare,
        dice=rnd.random,
    )
    layers = []
    for _ in range(300):
        topic = rnd.choice(TOPICS)
        question = f"{topic} {topic}s of my {topic} {rnd.choice(ENDS)} {rnd.choice(ENDS)}"
        reply = await world.say(question)
        layers.append(layer(reply))
        assert reply.json["choices"][0]["message"]["content"] == _right(question)
    assert "semantic" not in layers[:30]
    assert layers[200:].count("semantic") > 50
    (scope,) = await world.rows.page(world.principal.tenant_id, before=None, limit=10)
    assert scope.status.bound <= 0.1
    world.assert_settled()
