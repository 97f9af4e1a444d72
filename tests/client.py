"""Calls Tollgate as a program that nobody here wrote: grpcio, with the classes that its authors generated from Envoy's
own protos. `client.py ADDRESS` runs every check against a service with tests/data/edge.yaml, and prints each name."""

import sys

import grpc
from envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

SERVICE = "envoy.service.ratelimit.v3.RateLimitService"
OK, OVER = rls_pb2.RateLimitResponse.OK, rls_pb2.RateLimitResponse.OVER_LIMIT
UNIT = rls_pb2.RateLimitResponse.RateLimit
# Fields of Envoy 1.40 that these generated classes do not know yet: number, type (8 bool, 11 message).
NEWER = {
    "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.is_negative_hits": (4, 8, None),
    "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.RateLimitOverride.unit_multiplier": (
        3, 11, "google.protobuf.UInt32Value"),
    "envoy.service.ratelimit.v3.RateLimitResponse.RateLimit.unit_multiplier": (
        4, 11, "google.protobuf.UInt32Value"),
}


def request(*descriptors, hits=0, domain="edge"):
    """A request; a descriptor is a dict of entries, or a pair of one and what else to set."""
    made = rls_pb2.RateLimitRequest(domain=domain, hits_addend=hits)
    for item in descriptors:
        entries, more = item if isinstance(item, tuple) else (item, {})
        descriptor = made.descriptors.add()
        for key, value in entries.items():
            descriptor.entries.add(key=key, value=value)
        if "hits" in more:
            descriptor.hits_addend.value = more["hits"]
        if "limit" in more:
            descriptor.limit.requests_per_unit, descriptor.limit.unit = more["limit"]
    return made


class Client:
    def __init__(self, channel):
        self.channel = channel
        self.stub = rls_pb2_grpc.RateLimitServiceStub(channel)

    def ask(self, *descriptors, **options):
        return self.stub.ShouldRateLimit(request(*descriptors, **options), timeout=20)

    def fails(self, message):
        """The status code and details of a call that must not be answered."""
        try:
            answer = self.stub.ShouldRateLimit(message, timeout=20)
        except grpc.RpcError as error:
            return error.code(), error.details()
        raise AssertionError(f"answered: {answer}")

    def reflect(self, version, **ask):
        call = self.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
        [answer] = call(iter([reflection_pb2.ServerReflectionRequest(**ask)]), timeout=20)
        assert not answer.HasField("error_response"), answer
        return answer

    def pool(self, version, symbol):
        """The descriptors of what the service says `symbol` stands in."""
        files, pool = {}, descriptor_pool.DescriptorPool()
        ask = {"file_containing_symbol": symbol}
        while ask:
            for raw in self.reflect(version, **ask).file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(raw)
                files[file.name] = file
            missing = {name for file in files.values() for name in file.dependency} - files.keys()
            ask = missing and {"file_by_filename": min(missing)}

        def add(name):
            file = files.pop(name, None)
            if file:
                for dependency in file.dependency:
                    add(dependency)
                pool.AddSerializedFile(file.SerializeToString())
        for name in list(files):
            add(name)
        return pool


def headers(answer):
    return {header.key.lower(): header.value or header.raw_value.decode() for header in answer.response_headers_to_add}


def a_limit_is_counted_and_shown_in_every_field(client):
    login = {"client": "py-1", "method": "POST", "path": "/login"}
    for left in (4, 3, 2, 1, 0):
        answer = client.ask(login)
        assert answer.overall_code == OK, answer
        [status] = answer.statuses
        assert (status.code, status.limit_remaining) == (OK, left), status
        limit = status.current_limit
        assert (limit.name, limit.requests_per_unit, limit.unit) == ("login", 5, UNIT.MINUTE), limit
        assert 0 < status.duration_until_reset.seconds <= 918, status
        assert status.duration_until_reset.nanos == 0, status
        seen = headers(answer)
        assert seen["x-ratelimit-limit"] == "5" and seen["x-ratelimit-remaining"] == str(left), seen
        assert seen["x-ratelimit-reset"] == str(status.duration_until_reset.seconds), seen
        assert "retry-after" not in seen and answer.raw_body == b"", answer
        assert not answer.request_headers_to_add and not answer.HasField("quota"), answer
    answer = client.ask(login)
    [status] = answer.statuses
    assert (answer.overall_code, status.code, status.limit_remaining) == (OVER, OVER, 0), answer
    assert answer.raw_body == b'{"error":"Rate limit exceeded: 5 per 15 minute"}', answer
    seen = headers(answer)
    assert 0 < int(seen["retry-after"]) <= 918, seen
    assert seen["x-tollgate-limit"] == "login" and seen["content-type"] == "application/json", seen
    assert seen["x-ratelimit-limit"] == "5" and seen["x-ratelimit-remaining"] == "0", seen


def each_descriptor_has_its_status_and_its_hits(client):
    ten, hundred = {"client": "py-2", "limit": "ten"}, {"client": "py-2", "limit": "hundred"}
    answer = client.ask((ten, {"hits": 4}), hundred, hits=7)
    assert [(s.current_limit.name, s.limit_remaining) for s in answer.statuses] == [("ten", 6), ("hundred", 93)], answer
    # The first fits no more: nothing is charged, the second included.
    answer = client.ask((ten, {"hits": 7}), (hundred, {"hits": 1}))
    assert answer.overall_code == OVER and [s.code for s in answer.statuses] == [OVER, OK], answer
    answer = client.ask((ten, {"hits": 0}), (hundred, {"hits": 0}))
    assert [s.limit_remaining for s in answer.statuses] == [6, 93], answer
    # More than the limit itself: waiting does not help, so nothing says when to come back.
    answer = client.ask((ten, {"hits": 11}))
    assert answer.overall_code == OVER and "retry-after" not in headers(answer), answer


def a_peek_charges_nothing(client):
    peek = ({"client": "py-3", "limit": "three"}, {"hits": 0})
    for _ in range(5):
        answer = client.ask(peek)
        assert answer.overall_code == OK and answer.statuses[0].limit_remaining == 3, answer


def an_override_replaces_the_number(client):
    entries = {"client": "py-4", "limit": "three"}
    codes = [client.ask((entries, {"limit": (4, 3)})).overall_code for _ in range(5)]
    assert codes == [OK] * 4 + [OVER], codes


def hits_are_given_back(client):
    seats = {"client": "py-5", "limit": "seats"}
    assert [client.ask(seats).overall_code for _ in range(3)] == [OK, OK, OVER]
    newer = message_factory.GetMessageClass(
        client.pool("v1", SERVICE).FindMessageTypeByName("envoy.service.ratelimit.v3.RateLimitRequest"))
    message = newer.FromString(request((seats, {"hits": 1})).SerializeToString())
    message.descriptors[0].is_negative_hits = True
    back = rls_pb2.RateLimitRequest.FromString(message.SerializeToString())
    answer = client.stub.ShouldRateLimit(back, timeout=20)
    assert answer.overall_code == OK and answer.statuses[0].limit_remaining == 1, answer
    assert [client.ask(seats).overall_code for _ in range(2)] == [OK, OVER]


def a_window_of_several_units_carries_a_multiplier(client):
    raw = client.ask({"client": "py-6", "method": "POST", "path": "/login"}).SerializeToString()
    newer = message_factory.GetMessageClass(
        client.pool("v1", SERVICE).FindMessageTypeByName("envoy.service.ratelimit.v3.RateLimitResponse"))
    limit = newer.FromString(raw).statuses[0].current_limit
    assert limit.unit_multiplier.value == 15, limit


def what_an_operator_gets_wrong_is_named(client):
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    page = {"client": "py-7", "limit": "three"}
    wrong = {
        "domain": request(page, domain=""),
        "descriptors": request(),
        "descriptor": request(*[page] * 33),
        "entries": request({str(n): "x" for n in range(17)}),
        "key": request({"k" * 65: "x"}),
        "hits": request((page, {"hits": 2**53})),
        "unit": request((page, {"limit": (3, 0)})),
    }
    for word, message in wrong.items():
        code, details = client.fails(message)
        assert code == invalid and word in details, (word, code, details)
    code, _ = client.fails(request({"client": "x" * (1 << 20)}))
    assert code in (invalid, grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.RESOURCE_EXHAUSTED), code
    assert client.ask(page).overall_code == OK


def the_health_of_each_service_is_known(client):
    stub = health_pb2_grpc.HealthStub(client.channel)
    for service in ("", SERVICE):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, (service, answer)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=20)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    try:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=20)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
    else:
        raise AssertionError("an unknown service has a health")


def both_reflections_list_the_same(client):
    lists = []
    for version in ("v1", "v1alpha"):
        answer = client.reflect(version, list_services="*").list_services_response
        lists.append(sorted(service.name for service in answer.service))
        assert client.pool(version, SERVICE).FindServiceByName(SERVICE).methods_by_name["ShouldRateLimit"]
    assert lists[0] == lists[1] and {SERVICE, "grpc.health.v1.Health"} <= set(lists[0]), lists


def every_message_is_a_part_of_envoys(client):
    pool = client.pool("v1", SERVICE)
    method = pool.FindServiceByName(SERVICE).methods_by_name["ShouldRateLimit"]
    theirs = rls_pb2.DESCRIPTOR.services_by_name["RateLimitService"].methods_by_name["ShouldRateLimit"]
    assert method.input_type.full_name == theirs.input_type.full_name
    assert method.output_type.full_name == theirs.output_type.full_name
    newer, todo, done = dict(NEWER), [(method.input_type, theirs.input_type), (method.output_type, theirs.output_type)], {}
    while todo:
        mine, real = todo.pop()
        if mine.full_name in done:
            continue
        done[mine.full_name] = len(mine.fields)
        for field in mine.fields:
            kind = field.message_type or field.enum_type
            expected = newer.pop(field.full_name, None)
            if expected and field.name not in real.fields_by_name:
                assert (field.number, field.type, kind and kind.full_name) == expected, (field.full_name, field.number)
                continue
            twin = real.fields_by_name[field.name]
            other = twin.message_type or twin.enum_type
            assert (field.number, field.type, field.is_repeated) == (twin.number, twin.type, twin.is_repeated), field.full_name
            assert (kind and kind.full_name) == (other and other.full_name), field.full_name
            if field.enum_type:
                values = {value.name: value.number for value in field.enum_type.values}
                assert values == {value.name: value.number for value in other.values}, field.full_name
            elif kind:
                todo.append((kind, other))
    assert not newer, f"not offered: {newer}"
    assert len(done) > 8 and done["envoy.service.ratelimit.v3.RateLimitResponse"] >= 6, done
    assert ratelimit_pb2.RateLimitDescriptor.DESCRIPTOR.full_name in done, done


CHECKS = [
    a_limit_is_counted_and_shown_in_every_field,
    each_descriptor_has_its_status_and_its_hits,
    a_peek_charges_nothing,
    an_override_replaces_the_number,
    hits_are_given_back,
    a_window_of_several_units_carries_a_multiplier,
    what_an_operator_gets_wrong_is_named,
    the_health_of_each_service_is_known,
    both_reflections_list_the_same,
    every_message_is_a_part_of_envoys,
]

if __name__ == "__main__":
    with grpc.insecure_channel(sys.argv[1]) as channel:
        client = Client(channel)
        for check in CHECKS:
            check(client)
            print("passed:", check.__name__, flush=True)
    print("all", len(CHECKS), "checks passed")
