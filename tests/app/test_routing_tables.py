"""Contradictions in the tables of routes and degradation: each is told with the path of its key and its line."""

from pathlib import Path

import pytest

from tests.app.test_settings import mistake, settings

# 14 lines, so that what follows begins at line 15.
BASE = """\
[providers.main]
kind = "openai"
base_url = "http://127.0.0.1:9100/v1"
region = "us"
[providers.spare]
kind = "openai"
base_url = "http://127.0.0.1:9200/v1"
region = "eu"
[models.small]
provider = "main"
[models.large]
provider = "spare"
[models."gpt-4.1"]
provider = "main"
"""

ROUTE = '[routes.r]\nmodels = ["small", "large"]\n'  # lines 15 and 16
ONE = '[routes.r]\nmodels = ["small"]\n'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        # names
        (
            '[routes.r]\nmodels = ["smal"]',
            16,
            "routes.r.models: names 'smal', which is not configured; did you mean small?",
        ),
        (
            "[routes.smal]\nretries = 2",
            15,
            "routes.smal: there is no model of this name, so the route needs `models`; did you mean small?",
        ),
        (
            ROUTE + '[routes.s]\nmodels = ["r"]',
            18,
            "routes.s.models: names 'r', a route, perhaps itself: a chain could go in a circle; a route names models",
        ),
        ('[routes.r]\nmodels = ["large", "r"]', 16, "routes.r.models: names 'r', a route, perhaps itself"),
        ('[routes.r]\nmodels = ["small", "large", "small"]', 16, "routes.r.models: 'small' is named twice"),
        (
            ROUTE + 'output_escalate = "larg"',
            17,
            "routes.r.output_escalate: names 'larg', which is not configured; did",
        ),
        (
            ONE + 'output_escalate = "small"',
            17,
            "routes.r.output_escalate: 'small' is the only model there is: it would be asked what it has just failed",
        ),
        (
            '[routes."gpt-4.1"]\noutput_escalate = "gpt-4.1"',
            16,
            "routes.\"gpt-4.1\".output_escalate: 'gpt-4.1' is the only model there is",
        ),
        # rules
        (ROUTE + '[[routes.r.rules]]\nmodels = ["small"]', 17, "routes.r.rules.0: a rule says when it holds: tasks,"),
        (
            ROUTE
            + '[[routes.r.rules]]\ntasks = ["a"]\nmodels = ["small"]\n'
            + '[[routes.r.rules]]\ntasks = ["b"]\nmodels = ["smal"]',
            22,
            "routes.r.rules.1.models: names 'smal', which is not configured; did you mean small?",
        ),
        (
            ROUTE + '[[routes.r.rules]]\ntasks = ["a"]\nmodels = ["small", "small"]',
            19,
            "routes.r.rules.0.models: 'small' is named twice",
        ),
        (
            ROUTE
            + '[[routes.r.rules]]\ntasks = ["a", "b"]\nmodels = ["small"]\n'
            + '[[routes.r.rules]]\nmodels = ["large"]\ntasks = ["b"]\nplans = ["pro"]',
            20,
            "routes.r.rules.1: this rule never holds: rules.0 stands before it and fits all calls that it fits",
        ),
        (
            ROUTE + '[[routes.r.rules]]\nmodels = ["small"]\nplans = ["Pro"]',
            19,
            "routes.r.rules.0.plans.0: String should",
        ),
        (ROUTE + '[[routes.r.rules]]\nmodels = ["small"]\ntenants = ["a b"]', 19, "routes.r.rules.0.tenants.0: String"),
        (ROUTE + '[[routes.r.rules]]\nmodels = []\ntasks = ["a"]', 18, "routes.r.rules.0.models: List should have at"),
        (
            ROUTE + '[[routes.r.rules]]\nmodels = ["small"]\ntask = ["a"]',
            19,
            "unknown key routes.r.rules.0.task; did you mean tasks?",
        ),
        # split
        (
            ROUTE + "split = { small = 1, smal = 1 }",
            17,
            "routes.r.split.smal: 'smal' is not among the route's models; did",
        ),
        (ROUTE + "[routes.r.split]\nsmall = 1\nsmal = 1", 19, "routes.r.split.smal: 'smal' is not among"),
        (ROUTE + "split = { small = 0, large = 0 }", 17, "routes.r.split: one of the weights must be above 0"),
        (
            ROUTE + "split = { small = -1, large = 2 }",
            17,
            "routes.r.split.small: Input should be greater than or equal",
        ),
        (
            ROUTE + "split = { small = 1000001 }",
            17,
            "routes.r.split.small: Input should be less than or equal to 1000000",
        ),
        (
            ROUTE + 'split = { small = 1 }\nchoose = "fastest"',
            17,
            'routes.r.split: split and choose = "fastest" both say which model is first; keep one of them',
        ),
        ("[routes.small]\nsplit = { small = 1 }", 16, "routes.small.split: split needs `models`"),
        # regions
        (
            '[routes.r]\nregions = ["eu"]\nmodels = ["small"]',
            17,
            "routes.r.models: none of them has a provider in the regions eu",
        ),
        (
            '[routes.small]\nregions = ["eu", "asia"]',
            15,
            "routes.small.models: none of them has a provider in the regions",
        ),
        (
            '[routes.r]\nregions = ["us"]\nmodels = ["small"]\noutput_escalate = "large"',
            18,
            "routes.r.output_escalate: none of them has a provider in the regions us",
        ),
        # times
        (
            ROUTE + "first_token_s = 5\ndeadline_s = 5",
            17,
            "routes.r.first_token_s: first_token_s must be below deadline_s: nothing else could be asked in time",
        ),
        (
            ROUTE + "deadline_s = 5\nbetween_tokens_s = 6",
            18,
            "routes.r.between_tokens_s: between_tokens_s must be below",
        ),
        (
            ROUTE + "hedge_after_s = 2\nfirst_token_s = 1",
            17,
            "routes.r.hedge_after_s: hedge_after_s must be below first_token_s: by then the first target has failed",
        ),
        (
            ROUTE + "hedge_after_s = 2\ndeadline_s = 1",
            17,
            "routes.r.hedge_after_s: hedge_after_s must be below deadline_s",
        ),
        # what one target cannot do
        (
            ONE + "hedge_after_s = 1",
            17,
            "routes.r.hedge_after_s: there is one target only, and a hedge asks a second one",
        ),
        (
            ROUTE + 'regions = ["eu"]\nhedge_after_s = 1',
            18,
            "routes.r.hedge_after_s: there is one target only, and a hedge asks a second one",
        ),
        (
            ROUTE + 'hedge_max_usd = "0.1"',
            17,
            "routes.r.hedge_max_usd: hedge_max_usd is given, and hedge_after_s is not",
        ),
        (
            ONE + 'stream = "restart"\nretries = 0',
            17,
            "routes.r.stream: there is one target only and retries = 0: nothing could begin anew",
        ),
        (ROUTE + 'max_request_usd = "0"', 17, "routes.r.max_request_usd: an amount is above 0"),
        # features
        ('[features.f]\ndegrade = ["stale", "stale"]', 16, "features.f.degrade: a step is named twice"),
        ('[features.f]\ndegrade = ["template"]', 16, 'features.f.degrade: the step "template" needs template = "..."'),
        (
            '[features.f]\ntemplate = "x"\ndegrade = ["stale"]',
            16,
            'features.f.template: template is given, and degrade does not name the step "template"',
        ),
        ("[features.f]\nstale_s = 10", 16, "features.f.stale_s: stale_s is given, and degrade does not name the step"),
        (
            '[features.f]\nqueued = "x"',
            16,
            'features.f.queued: queued is given, and degrade does not name the step "queue"',
        ),
        (
            '[features.f]\ndegrade = ["cached"]',
            16,
            "features.f.degrade.0: Input should be 'stale', 'template' or 'queue'",
        ),
        (
            '[features.f]\ndegrade = ["stale"]\n[cache]\nmax_bytes = 0',
            16,
            'features.f.degrade: the step "stale" needs answers that are kept, and [cache] keeps none',
        ),
        # breakers
        (
            "[breakers]\ncooldown_s = 3\nmax_cooldown_s = 2",
            17,
            "breakers.max_cooldown_s: max_cooldown_s is at least cooldown_s",
        ),
        ("[breakers]\ncooldown_s = 30", 16, "breakers.cooldown_s: max_cooldown_s is at least cooldown_s"),
        ("[breakers]\nslow_rate = 0.2", 16, "breakers.slow_rate: slow_rate is given, and slow_s is not"),
        ("[breakers]\nfailure_rate = 0", 16, "breakers.failure_rate: Input should be greater than 0"),
        # keys and targets
        (
            '[providers.p]\nkind = "openai"\nbase_url = "http://h/v1"\napi_key = "env:A"\napi_keys = ["env:B"]',
            19,
            "providers.p.api_keys: give api_key or api_keys, not both",
        ),
        (
            '[providers.p]\nkind = "openai"\nbase_url = "http://h/v1"\napi_keys = ["env:B", "env:B"]',
            18,
            "providers.p.api_keys: a key is named twice",
        ),
        (
            '[models.m]\nprovider = "mian"',
            16,
            "models.m.provider: names provider 'mian', which is not configured; did you",
        ),
        (
            '[[models.m.targets]]\nprovider = "main"\n[[models.m.targets]]\nprovider = "mian"',
            18,
            "models.m.targets.1.provider: names provider 'mian', which is not configured; did you mean main?",
        ),
        (
            '[[models.m.targets]]\nprovider = "main"\n[[models.m.targets]]\nprovider = "spare"\nweight = 3',
            19,
            'models.m.targets.1.weight: weight is given, and balance is not "weights"',
        ),
    ],
)
def test_a_contradiction_is_told_with_its_path_and_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    assert mistake(tmp_path, BASE + text).startswith(f"tenfold.toml:{line}: {said}")


def test_what_the_environment_says_is_told_as_such(tmp_path: Path) -> None:
    text = BASE + ROUTE + "deadline_s = 5\n"
    told = mistake(tmp_path, text, {"TENFOLD_ROUTES_R_FIRST_TOKEN_S": "6"})
    assert told.startswith("environment: TENFOLD_ROUTES_R_FIRST_TOKEN_S: routes.r.first_token_s: ")


@pytest.mark.parametrize(
    "text",
    [
        ROUTE + 'hedge_after_s = 1\nhedge_max_usd = "0.1"\nfirst_token_s = 2\nbetween_tokens_s = 3\ndeadline_s = 4',
        ONE + 'output_escalate = "large"',
        ONE + 'output_escalate = "small"\n[[routes.r.rules]]\ntasks = ["a"]\nmodels = ["large"]',
        ONE + 'stream = "restart"',
        ONE + 'hedge_after_s = 1\n[[routes.r.rules]]\ntasks = ["a"]\nmodels = ["small", "large"]',
        # Two keys are two targets.
        '[providers.two]\nkind = "openai"\nbase_url = "http://h/v1"\napi_keys = ["env:A", "env:B"]\n'
        '[models.m]\nprovider = "two"\n[routes.m]\nhedge_after_s = 1',
        ROUTE + 'regions = ["us"]\noutput_escalate = "small"',
        ROUTE + "split = { small = 1, large = 0 }",
        ROUTE + '[[routes.r.rules]]\ntasks = ["a"]\nplans = ["pro"]\nmodels = ["small"]\n'
        '[[routes.r.rules]]\ntasks = ["a"]\nmodels = ["large"]',
        '[routes."gpt-4.1"]\nmodels = ["gpt-4.1", "large"]',
        '[features.f]\ndegrade = ["stale", "template", "queue"]\nstale_s = 1\ntemplate = "t"\nqueued = "q"',
        "[breakers]\nslow_s = 2\nslow_rate = 0.2\ncooldown_s = 3",
        '[models.m]\nbalance = "weights"\n[[models.m.targets]]\nprovider = "main"\nweight = 3\n'
        '[[models.m.targets]]\nprovider = "spare"',
    ],
)
def test_what_makes_sense_is_read(tmp_path: Path, text: str) -> None:
    settings(tmp_path, BASE + text)


def test_lines_are_of_the_right_element_of_an_array(tmp_path: Path) -> None:
    text = "".join(
        f'[[models.m{number}.targets]]\nprovider = "main"\n[models.m{number}.targets.price]\ninput = 1\n'
        for number in range(2)
    )
    broken = text + '[[models.m1.targets]]\nprovider = "main"\n[models.m1.targets.price]\ninput = -1\n'
    assert mistake(tmp_path, BASE + broken).startswith("tenfold.toml:26: models.m1.targets.1.price.input: ")
    inline = BASE + '[models.m]\ntargets = [{ provider = "main" }, { provider = "mian" }]\n'
    assert mistake(tmp_path, inline).startswith("tenfold.toml:16: models.m.targets.1.provider: ")
    numbered = BASE + '[models."4"]\nprovider = "mian"\n'
    assert mistake(tmp_path, numbered).startswith("tenfold.toml:16: models.4.provider: ")
