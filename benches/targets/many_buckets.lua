-- two_buckets.lua for several counters at once: KEYS are all of them, asked in the same way. Reply: for each what is
-- left, or -1 for a refusal. One script for both would cost the one counter a table for its reply, and a peer is not
-- to be slower than it need be.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local length, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local window = math.floor(now / length)
local reply = {}
for k = 1, #KEYS do
  local before, used, is_here = 0, 0, false
  local state = call('GET', KEYS[k])
  if state then
    local at, earlier, count = struct.unpack('ddd', state)
    if at == window then
      before, used, is_here = earlier, count, true
    elseif at + 1 == window then
      before = count
    end
  end
  local spent = used + before * (window + 1 - now / length)
  if spent + 1 > most then
    reply[k] = -1
  else
    if is_here then
      call('SETRANGE', KEYS[k], 16, struct.pack('d', used + 1))
    else
      call('PSETEX', KEYS[k], ARGV[3], struct.pack('ddd', window, before, used + 1))
    end
    reply[k] = math.floor(most - spent - 1)
  end
end
return reply
