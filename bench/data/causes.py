"""Which variables a fault of the Tennessee Eastman process disturbs first, for those with a known
cause.

Written down before anything was measured, from Downs & Vogel (1993), A plant-wide industrial
process control problem, Computers & Chemical Engineering 17(3): table 8 says what each disturbance
is, tables 3 to 5 which measurement (xmeas) and which valve (xmv) belongs to that stream or unit.
Fault 21 is from the data as Russell, Chiang & Braatz (2000) made them. Without an entry: 16 to 20,
whose causes are not published; 13, a drift of the reaction kinetics, which no variable measures; 3,
9 and 15, which are known to be all but undetectable row by row.
"""

CAUSES = {
    # A/C feed ratio in stream 4: A feed and its valve, stream 4 and its valve, A and C in the feed
    "fault_01": ("xmeas_01", "xmv_03", "xmeas_04", "xmv_04", "xmeas_23", "xmeas_25"),
    # B, an inert, in stream 4: it leaves by the purge; B in feed and purge
    "fault_02": ("xmeas_10", "xmv_06", "xmeas_24", "xmeas_30"),
    # inlet temperature of the reactor's cooling water: its valve, both temperatures
    "fault_04": ("xmv_10", "xmeas_09", "xmeas_21"),
    # inlet temperature of the condenser's cooling water: its valve, separator temperatures
    "fault_05": ("xmv_11", "xmeas_22", "xmeas_11"),
    # loss of the A feed: its flow and valve
    "fault_06": ("xmeas_01", "xmv_03"),
    # pressure of the C header: stream 4 and its valve
    "fault_07": ("xmeas_04", "xmv_04"),
    # composition of A, B and C in stream 4: the three in the reactor's feed and in the purge
    "fault_08": ("xmeas_23", "xmeas_24", "xmeas_25", "xmeas_29", "xmeas_30", "xmeas_31"),
    # temperature of the C feed, which enters the stripper: its temperature, steam and steam valve
    "fault_10": ("xmeas_18", "xmeas_19", "xmv_09"),
    "fault_11": ("xmv_10", "xmeas_09", "xmeas_21"),  # as 4, at random
    "fault_12": ("xmv_11", "xmeas_22", "xmeas_11"),  # as 5, at random
    # the valve of the reactor's cooling water sticks
    "fault_14": ("xmv_10", "xmeas_09", "xmeas_21"),
    # the valve of stream 4 is fixed
    "fault_21": ("xmeas_04", "xmv_04"),
}
