"""The stages of one application, by topic, and the lanes that lead to them."""

from faust.types import TP

from agents.runtime.lanes import Lanes
from agents.runtime.runtime import Runtime, Stage


class Stages:
    """What the consumer asks for: who opens a partition, and where its runs wait."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._stages: dict[str, Stage] = {}
        self._lanes: dict[str, Lanes] = {}

    def add(self, stage: Stage) -> Lanes:
        """A stage with lanes of its own, which are returned.

        Raises ValueError for a second stage of one topic: only one of them would get its runs.
        """
        topic = stage.topic.name
        if topic in self._stages:
            taken = self._stages[topic].name
            raise ValueError(
                f"{topic} has a stage already, {taken}. A second one belongs in an application of "
                "its own; or it reads the topic itself, with Log.read."
            )
        self._stages[topic] = stage
        self._lanes[topic] = lanes = Lanes(self._runtime, stage.take)
        self._runtime.health.stages[topic] = stage.name
        return lanes

    async def open(self, tp: TP) -> int:
        """Make the state of a partition ready; returns the position to fetch from."""
        return await self._stages[tp.topic].open(tp.partition)

    def clear(self) -> None:
        """Forget the runs that wait: positions are about to be asked for again."""
        for topic, stage in self._stages.items():
            self._lanes[topic].clear()
            stage.clear()

    def clear_lane(self, tp: TP) -> None:
        """Clear the lane of one partition; if it had stopped, it goes on."""
        self._lanes[tp.topic].clear_lane(tp)
